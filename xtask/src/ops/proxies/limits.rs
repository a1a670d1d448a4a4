//! What the shipped configurations say of sizes and times is what the server does unless it is told otherwise.

use std::{fs, path::Path, process::Command};

use super::{envoy, nginx};
use crate::{server, steps::Outcome};

/// A key of the server, what it is built in as, and what stands in a configuration then.
struct Same {
    section: &'static str,
    key: &'static str,
    value: &'static str,
    nginx: &'static [&'static str],
    envoy: &'static [&'static str],
}

/// nginx counts connections for the whole machine, elsewhere.
const SAME: &[Same] = &[
    Same {
        section: "http",
        key: "body_max_bytes",
        value: "1048576",
        nginx: &["client_max_body_size 1m;"],
        envoy: &["max_request_bytes: 1048576\n"],
    },
    Same {
        section: "http",
        key: "import_max_bytes",
        value: "4294967296",
        nginx: &["client_max_body_size 4g;"],
        envoy: &["disabled: true"],
    },
    Same {
        section: "http",
        key: "body_timeout_ms",
        value: "30000",
        nginx: &["client_body_timeout 30s;"],
        envoy: &["max_stream_duration: { max_stream_duration: 90s }"],
    },
    Same { section: "http", key: "max_in_flight", value: "512", nginx: &[], envoy: &["max_retries: 512 "] },
    Same {
        section: "connections",
        key: "max",
        value: "8192",
        nginx: &[],
        envoy: &["max_active_downstream_connections: 8192"],
    },
    Same {
        section: "connections",
        key: "head_timeout_seconds",
        value: "30",
        nginx: &["client_header_timeout 30s;", "keepalive_timeout 20s;"],
        envoy: &["request_headers_timeout: 30s", "common_http_protocol_options: { idle_timeout: 20s }"],
    },
    Same {
        section: "connections",
        key: "stall_timeout_seconds",
        value: "30",
        nginx: &["send_timeout 30s;"],
        envoy: &[],
    },
];

/// Compares them with what the program is built with.
pub fn check(root: &Path, program: &Path) -> Outcome {
    let read = |name: &str| fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"));
    let (nginx, envoy) = (read(nginx::FILE)?, read(envoy::FILE)?);
    // Without the file of the machine it is run on.
    let empty = server::target(root).join("ops-proxies/empty.toml");
    fs::write(&empty, "").map_err(|error| format!("{}: {error}", empty.display()))?;
    let mut show = Command::new(program);
    // A variable that begins so and is none of its own is refused.
    show.args(["config", "show", "--config"]).arg(&empty).env_remove(server::PROGRAM);
    let output = show.output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let problems = problems(&String::from_utf8_lossy(&output.stdout), &nginx, &envoy);
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn problems(built_in: &str, nginx: &str, envoy: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for same in SAME {
        let Same { section, key, value, .. } = same;
        let keys = built_in.split(&format!("[{section}]")).nth(1).unwrap_or_default();
        let keys = keys.split("\n[").next().unwrap_or_default();
        if !keys.lines().any(|line| line == format!("{key} = {value}")) {
            problems.push(format!(
                "{key} is not {value} any more; there stand {:?} {:?}",
                same.nginx, same.envoy
            ));
        }
        for (file, text, all) in [(nginx::FILE, nginx, same.nginx), (envoy::FILE, envoy, same.envoy)] {
            let missing = all.iter().filter(|line| !text.contains(**line));
            problems.extend(missing.map(|line| format!("{file} has no {line:?}; {key} is {value}")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_that_has_moved_and_a_line_that_is_gone_are_told() {
        let (mut built_in, mut nginx, mut envoy) = (String::new(), String::new(), String::new());
        for same in SAME {
            nginx += &same.nginx.join("\n");
            envoy += &format!("{}\n", same.envoy.join("\n"));
        }
        for section in ["http", "connections"] {
            let keys = SAME.iter().filter(|same| same.section == section);
            let keys: String = keys.map(|same| format!("{} = {}\n", same.key, same.value)).collect();
            built_in += &format!("[{section}]\n{keys}\n");
        }
        assert!(problems(&built_in, &nginx, &envoy).is_empty());
        let moved = built_in.replace("head_timeout_seconds = 30", "head_timeout_seconds = 10");
        assert_eq!(problems(&moved, &nginx, &envoy).len(), 1);
        assert_eq!(problems(&built_in, &nginx.replace("1m;", "2m;"), &envoy).len(), 1);
        assert_eq!(problems(&built_in, &nginx, &envoy.replace("max_retries", "retries")).len(), 1);
    }
}
