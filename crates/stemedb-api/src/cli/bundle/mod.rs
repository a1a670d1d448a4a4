//! `debug-bundle`: everything that somebody needs who is to help with a server, in one file that may be handed on.
//!
//! ```text
//! running server   health, readiness, figures, metrics, events, slow questions, jobs  ┐
//! folder           files, journal, manifest, ends of logs; no lock, nothing written   ├─▶ redact ─▶ tar ─▶ check ─▶ name
//! machine          process, limits, kernel, disk, clock; doctor's findings            ┘
//! ```
//!
//! - [`collect`]: where the parts come from. A part that cannot be had is named in the manifest with the reason; the others go on.
//! - [`redact`]: what may stand in a bundle is named by lists. On unless `--no-redact` is said: whoever asks for help sends the file
//!   without having read it, and what has been sent cannot be taken back, while a bundle that says too little is made again in a minute.
//! - [`check`]: the file that was written is searched for every secret and for texts of claims before it gets its name.
//! - [`tar`], [`output`]: the file, for its owner alone.

mod check;
mod collect;
mod output;
mod parts;
mod redact;
mod tar;

use std::{
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
};

use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use stemedb_api::{
    config::{Config, Problems, Settings},
    core::Micros,
};
use stemedb_env::Env;
use stemedb_hybrid::Layout;

use self::{
    check::{Check, claims::Sample, own_texts, secrets},
    collect::{configuration, folder, logs, machine, process, server},
    output::Place,
    parts::{Content, Part},
    redact::Redactor,
};
use super::{
    client::{Client, ServerUrl},
    doctor,
    failure::Failure,
    paint,
};

/// So much of a server's records is looked at for texts of claims, where the journal cannot be.
const EXPORT_BYTES: usize = 4 << 20;

/// Collect what is needed to help with a server into one file, without secrets and without what claims say
///
/// Works with a running server and with a dead one, whose folder is read and neither written nor locked. Before the file gets its name it
/// is searched for every secret that is known and for texts of claims; exit code 3 if any is found, and no file is kept.
#[derive(Debug, clap::Args)]
pub struct BundleArgs {
    /// The file to write; it must not exist [default: stemedb-debug-TIME.tar in this folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave out what claims say, names, paths, addresses: on unless --no-redact is given
    #[arg(long, conflicts_with = "no_redact")]
    redact: bool,
    /// Keep texts of claims, paths and addresses; secrets are left out all the same
    #[arg(long)]
    no_redact: bool,
    /// A running server, such as http://127.0.0.1:18180; without --data-dir nothing else is looked at [default: the configured one]
    #[arg(long, value_name = "URL", conflicts_with = "socket")]
    url: Option<ServerUrl>,
    /// The socket file of a running server [default: the configured one, if it is there]
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// The database's folder; a server may have it open [default: the configured one]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration file of `serve` [default: /etc/stemedb/api.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Leave a part out; may be given several times
    #[arg(long, value_name = "PART", value_parser = PossibleValuesParser::new(parts::NAMES), hide_possible_values = true)]
    without: Vec<String>,
    /// Read all of the journal, however long it is
    #[arg(long)]
    full: bool,
    /// Print the manifest as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Collects, searches, and names the file.
pub fn run(args: &BundleArgs) -> Result<(), Failure> {
    let env = Env::real();
    let made_at = env.clock.wall();
    let scene = Scene::find(&env, args);
    let named = args.out.clone().unwrap_or_else(|| {
        let time = Micros(made_at.0).to_string();
        let digits: String = time.chars().filter(char::is_ascii_digit).take(14).collect();
        PathBuf::from(format!("stemedb-debug-{digits}.tar"))
    });
    let place = Place::new(&env, &named, scene.data_dir.as_deref())?;
    let redactor = Redactor::new(&env, !args.no_redact);
    let mut sample = Sample::default();
    let mut collected = scene.collect(&env, args, &redactor, &mut sample);
    collected.retain(|part| !args.without.iter().any(|name| name == part.name));

    let secrets = scene.secrets(&env);
    let own = own_texts(&collected);
    let check = Check::new(&secrets, sample.texts(), &redactor.withheld(), &own, redactor.is_on());
    let (manifest, digests) = manifest(&scene, &collected, &check, &sample, &redactor, made_at);
    let archive = archive(&collected, &manifest, made_at);
    place.keep(&env, &archive, &check, &digests)?;
    print(args, &place, &manifest, archive.len())
}

/// What there is to look at.
struct Scene {
    data_dir: Option<PathBuf>,
    settings: Settings,
    loaded: Result<Config, Problems>,
    /// The process that has the database open, and how it was started.
    holder: Option<u32>,
    started: Option<configuration::Started>,
    server: Result<ServerUrl, &'static str>,
}

impl Scene {
    fn find(env: &Env, args: &BundleArgs) -> Scene {
        let settings_of =
            |loaded: &Result<Config, Problems>| loaded.as_ref().map(Config::settings).unwrap_or_default();
        let mut loaded = configuration::load(env, args.config.clone(), None);
        // Of a server that may be anywhere the folders of this machine say nothing.
        let is_elsewhere = args.url.is_some() && args.data_dir.is_none();
        let data_dir =
            (!is_elsewhere).then(|| args.data_dir.clone().unwrap_or_else(|| settings_of(&loaded).data_dir));
        let holder = data_dir.as_ref().and_then(|dir| process::holder(env, &Layout::of(dir)));
        let started = holder.and_then(|id| process::started(env, id));
        if started.is_some() {
            loaded = configuration::load(env, args.config.clone(), started.as_ref());
        }
        let settings = settings_of(&loaded);
        let server = match (&args.url, &args.socket, &args.data_dir, holder) {
            // The configured server would be another folder's.
            (None, None, Some(_), None) => Err("no running process has this folder open"),
            _ => server_of(env, args, &settings),
        };
        Scene { data_dir, settings, loaded, holder, started, server }
    }

    fn collect(&self, env: &Env, args: &BundleArgs, redactor: &Redactor, sample: &mut Sample) -> Vec<Part> {
        let mut parts = vec![
            Part::json("program.json", "the program that made this bundle", program()),
            Part::json(
                "configuration.json",
                "every key of the configuration with its origin, or what is wrong with it",
                configuration::document(&self.loaded, self.started.is_some(), redactor),
            ),
        ];
        self.ask_server(args, redactor, sample, &mut parts);
        self.look_at_folder(env, args, redactor, sample, &mut parts);
        let about = "the running server: memory, limits, open files";
        parts.push(match self.holder {
            Some(id) => Part::json("process.json", about, process::document(env, id)),
            None => {
                Part::missing("process.json", about, "no running process has this folder open".to_owned())
            }
        });
        let document = machine::document(env, self.data_dir.as_deref());
        parts.push(Part::json("machine.json", "kernel, processors, memory, disk", document));
        parts.push(Part::json("clock.json", "what time it is", machine::clock(env)));
        parts
    }

    fn ask_server(&self, args: &BundleArgs, redactor: &Redactor, sample: &mut Sample, parts: &mut Vec<Part>) {
        let url = match &self.server {
            Ok(url) => url,
            Err(why) => return server::nobody(why, parts),
        };
        let mut client = match Client::new(url) {
            Ok(client) => client,
            Err(_) => return server::nobody("the key in the environment is no API key", parts),
        };
        let answers = server::ask(&mut client, redactor, parts);
        let is_journal_read =
            self.data_dir.is_some() && (args.full || self.journal_bytes() <= folder::JOURNAL_MAX_BYTES);
        if answers && !is_journal_read && redactor.is_on() {
            // Without a key for reading there is nothing to look at: the manifest says how much it was.
            let _ = server::records(&mut client, EXPORT_BYTES, &mut |line| sample.offer_line(line));
        }
    }

    fn journal_bytes(&self) -> u64 {
        let Some(dir) = &self.data_dir else { return 0 };
        super::folder::bytes_in(&Env::real(), &Layout::of(dir).wal()).unwrap_or(0)
    }

    fn look_at_folder(
        &self,
        env: &Env,
        args: &BundleArgs,
        redactor: &Redactor,
        sample: &mut Sample,
        parts: &mut Vec<Part>,
    ) {
        let layout = self.data_dir.as_deref().map(Layout::of);
        let doctor_says = doctor::report_of(
            env,
            self.server.as_ref().ok(),
            self.data_dir.as_deref(),
            args.config.as_deref(),
        );
        let about = "what doctor finds";
        parts.push(match doctor_says {
            Ok(report) => Part::json("doctor.json", about, redactor.document(DOCTOR, &without_paths(report))),
            Err(_) => Part::missing("doctor.json", about, "doctor could not look".to_owned()),
        });
        let max = if args.full { u64::MAX } else { folder::JOURNAL_MAX_BYTES };
        let elsewhere = || "the folder was not looked at: name it with --data-dir".to_owned();
        let about = [
            ("files.json", "names, lengths and times of all files"),
            ("journal.json", "the journal, segment by segment"),
            ("view.json", "the view's manifest, table by table"),
        ];
        for (name, about) in about {
            parts.push(match &layout {
                None => Part::missing(name, about, elsewhere()),
                Some(layout) => {
                    let document = match name {
                        "files.json" => folder::files(env, layout, redactor),
                        "journal.json" => folder::journal(env, layout, max, sample, redactor),
                        _ => folder::view(env, layout, redactor),
                    };
                    Part::json(name, about, document)
                }
            });
        }
        let logs = [
            ("storage-log.jsonl", "the end of the storage's log", &self.settings.logs.storage_file),
            ("log.jsonl", "the end of the server's log", &self.settings.logs.file),
        ];
        for (name, about, file) in logs {
            parts.push(match file {
                _ if self.data_dir.is_none() => Part::missing(name, about, elsewhere()),
                None => Part::missing(name, about, "no such file is configured".to_owned()),
                Some(file) => match logs::tail(env, file, redactor) {
                    Ok(text) => Part::text(name, about, text),
                    Err(error) => Part::missing(name, about, redactor.text(&error.to_string())),
                },
            });
        }
    }

    /// Everything that must not be in the file.
    fn secrets(&self, env: &Env) -> Vec<secrets::Secret> {
        let mut found = Vec::new();
        let own: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let started = self.started.as_ref().map(|started| started.variables.as_slice()).unwrap_or_default();
        for variables in [own.as_slice(), started] {
            secrets::of_variables(variables, &mut found);
            secrets::of_files(env, self.loaded.as_ref().ok(), variables, &mut found);
        }
        if let Some(dir) = &self.data_dir {
            secrets::of_folder(env, &Layout::of(dir), &mut found);
        }
        found
    }
}

/// Of what doctor prints: its texts have paths and subjects in them.
const DOCTOR: redact::shape::Shape = &[
    ("verdict", redact::shape::Kind::Text),
    ("findings[].severity", redact::shape::Kind::Text),
    ("findings[].check", redact::shape::Kind::Text),
    ("findings[].text", redact::shape::Kind::Text),
    ("findings[].runbook", redact::shape::Kind::Text),
];

/// Pages are named without their folder, and what was looked at is told by the manifest.
fn without_paths(mut report: Value) -> Value {
    if let Some(report) = report.as_object_mut() {
        report.remove("looked_at");
    }
    for finding in report["findings"].as_array_mut().into_iter().flatten() {
        let page = finding["runbook"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        finding["runbook"] = page.trim_end_matches(".md").to_owned().into();
    }
    report
}

/// The server that is named, or the one that the configuration describes.
fn server_of(env: &Env, args: &BundleArgs, settings: &Settings) -> Result<ServerUrl, &'static str> {
    if let Some(url) = &args.url {
        return Ok(url.clone());
    }
    let is_there = |file: &Path| matches!(env.fs.metadata(file), Ok(Some(_)));
    match (&args.socket, &settings.admin_socket) {
        (Some(file), _) => return Ok(ServerUrl::of_socket(file.clone())),
        (None, Some(file)) if is_there(file) => return Ok(ServerUrl::of_socket(file.clone())),
        _ => {}
    }
    if settings.tls_certificate.is_some() {
        return Err(
            "the server speaks TLS alone: use its socket file (--socket), or a plain address of it (--url)",
        );
    }
    if settings.bind.port() == 0 {
        return Err("the server listens on any free port: name it with --url");
    }
    doctor::address_of(settings).ok_or("the configured address is none to connect to")
}

fn program() -> Value {
    json!({
        "program": "stemedb-api",
        "version": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "s3": cfg!(feature = "s3"),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
    })
}

/// The manifest, and the digests in it.
fn manifest(
    scene: &Scene,
    parts: &[Part],
    check: &Check,
    sample: &Sample,
    redactor: &Redactor,
    made_at: stemedb_env::Micros,
) -> (Value, Vec<String>) {
    let (mut listed, mut digests) = (Vec::new(), Vec::new());
    for part in parts {
        let mut entry = json!({ "part": part.name, "about": part.about });
        match (part.bytes(), &part.content) {
            (Some(bytes), _) => {
                let digest = blake3::hash(&bytes).to_hex().to_string();
                entry["bytes"] = bytes.len().into();
                entry["blake3"] = digest.clone().into();
                digests.push(digest);
            }
            (None, Content::Missing(why)) => entry["missing"] = why.clone().into(),
            (None, _) => {}
        }
        listed.push(entry);
    }
    let answers = |name: &str| {
        parts.iter().any(|part| part.name == name && !matches!(part.content, Content::Missing(_)))
    };
    let manifest = json!({
        "format": "stemedb debug bundle 0",
        "made_at": Micros(made_at.0).to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "redacted": redactor.is_on(),
        "server_answered": answers("health.json"),
        "server_process": scene.holder.is_some(),
        "folder_read": scene.data_dir.is_some(),
        "searched_for": check.summary(),
        "records_looked_at": sample.records,
        "parts": listed,
    });
    (manifest, digests)
}

/// The name of the folder in the archive.
const FOLDER: &str = "stemedb-debug";

fn archive(parts: &[Part], manifest: &Value, made_at: stemedb_env::Micros) -> Vec<u8> {
    let seconds = u64::try_from(made_at.0 / 1_000_000).unwrap_or(0);
    let mut archive = tar::Archive::default();
    let text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
    archive.add(&format!("{FOLDER}/manifest.json"), &text, seconds);
    for part in parts {
        if let Some(bytes) = part.bytes() {
            archive.add(&format!("{FOLDER}/{}", part.name), &bytes, seconds);
        }
    }
    archive.finish()
}

fn print(args: &BundleArgs, place: &Place, manifest: &Value, bytes: usize) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    if args.json {
        writeln!(out, "{manifest}")?;
        return Ok(());
    }
    let parts = manifest["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    for part in parts {
        let (name, about) =
            (part["part"].as_str().unwrap_or_default(), part["about"].as_str().unwrap_or_default());
        match part["missing"].as_str() {
            Some(why) => writeln!(
                out,
                "{}  {}",
                paint::left(name, 20),
                paint::paint(paint::WARN, &format!("missing: {why}"))
            )?,
            None => writeln!(out, "{}  {about}", paint::left(name, 20))?,
        }
    }
    let searched = &manifest["searched_for"];
    let count = |name: &str| paint::thousands(searched[name].as_u64().unwrap_or(0));
    let what = match manifest["redacted"] == true {
        true => format!(
            "redacted, and searched for {} secrets, {} texts of claims and {} that were taken away: none is in it",
            count("secrets"),
            count("claim_texts"),
            count("withheld_texts")
        ),
        false => format!("not redacted; searched for {} secrets: none is in it", count("secrets")),
    };
    writeln!(out, "{}  {}, {what}", place.file().display(), paint::bytes(bytes as u64))?;
    Ok(())
}
