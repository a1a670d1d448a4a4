//! nginx, as Debian has it, with `deploy/nginx/stemedb.conf`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    super::monitoring::daemon,
    front::{Front, Kind, Site},
    pair::quietly,
};
use crate::steps::{self, Outcome};

/// What is shipped.
pub const FILE: &str = "deploy/nginx/stemedb.conf";
const PROGRAM: &str = "/usr/sbin/nginx";

/// Installs what is absent of nginx and openssl.
pub fn install() -> Outcome {
    if [PROGRAM, "/usr/bin/openssl"].iter().all(|program| Path::new(program).is_file()) {
        return Ok(());
    }
    steps::command(Command::new("apt-get").args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-qy", "--no-install-recommends", "nginx", "openssl"]);
    steps::command(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Has the configuration checked by nginx, and starts it.
pub fn start(site: &Site<'_>) -> Result<Front, String> {
    site.cleared()?;
    let port = daemon::free_port()?;
    let main = written(site, port)?;
    let command = || {
        let mut command = Command::new(PROGRAM);
        command.arg("-e").arg(site.folder.join("error.log")).arg("-c").arg(&main);
        command
    };
    quietly(command().arg("-t"))?;
    Front::start(Kind::Nginx, (port, None), site.folder, &mut command())
}

/// Puts another certificate in the place of the one that it has, and tells it.
pub fn renew(front: &Front, renewed: &(PathBuf, PathBuf)) -> Outcome {
    put(renewed, &front.folder)?;
    // As `nginx -s reload` does.
    quietly(Command::new("kill").args(["-HUP", &front.id().to_string()]))
}

/// Gives it other addresses of servers, and tells it.
pub fn readdress(site: &Site<'_>, front: &Front) -> Outcome {
    written(site, front.port)?;
    quietly(Command::new("kill").args(["-HUP", &front.id().to_string()]))
}

fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("stemedb.pem"), folder.join("stemedb.key"))
}

fn put(from: &(PathBuf, PathBuf), folder: &Path) -> Outcome {
    let to = certificate(folder);
    let copied = fs::copy(&from.0, to.0).and_then(|_| fs::copy(&from.1, to.1));
    copied.map(drop).map_err(|error| format!("{}: {error}", folder.display()))
}

fn written(site: &Site<'_>, port: u16) -> Result<PathBuf, String> {
    // Copies: a renewal writes over them.
    let (certificate, key) = certificate(site.folder);
    put(&site.authority.certificate(), site.folder)?;
    let folder = site.folder.display();
    let here = [
        // Ports of servers are followed by what else is said of them.
        ("server 127.0.0.1:18180 ", format!("server {} ", site.addresses[0])),
        ("server 127.0.0.1:18181 ", format!("server {} ", site.addresses[1])),
        ("listen 443 ssl;", format!("listen 127.0.0.1:{port} ssl;")),
        ("/etc/nginx/tls/stemedb.pem", certificate.display().to_string()),
        ("/etc/nginx/tls/stemedb.key", key.display().to_string()),
        ("/var/log/nginx/stemedb.log", format!("{folder}/access.log")),
    ];
    site.write("stemedb.conf", &site.filled(FILE, &here)?)?;
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
        .join(" ");
    // Its workers give up root, and could not enter the folder then.
    let main = format!(
        "daemon off; user root; worker_processes 2; pid {folder}/nginx.pid; events {{ worker_connections 512; }}\n\
         http {{ {temporary} include {folder}/stemedb.conf; }}\n"
    );
    site.write("nginx.conf", &main)
}
