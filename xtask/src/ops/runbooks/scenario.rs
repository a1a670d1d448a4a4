//! One scenario: a fresh machine, writers beside it, the blocks one after the other, and what is left at the end.

use std::{
    fs,
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    expect,
    http::get,
    page::{Block, Kind, Scenario},
    stream::{Objectives, Stream},
};

/// How long a look is repeated until it shows what it should, unless the block says otherwise.
const LOOK_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// No block takes longer.
const BLOCK_LIMIT: Duration = Duration::from_secs(90);
/// How long the server may take to be well again after the last block.
const WELL_WITHIN: Duration = Duration::from_secs(30);
/// Where the shims and what they keep are.
pub const STATE: &str = "/run/machine";
/// The variable that names the checkout: where guides are read, and what they name is found.
pub const REPOSITORY: &str = "RUNBOOKS_REPOSITORY";

/// Starts the second machine's server as soon as there is something to follow, and waits until it has what was loaded.
const FOLLOW: &str = r#"
    lsn() { curl -sf "http://$1:18180/v1/health" | jq "$2"; }
    for _ in $(seq 200); do
        if [ "$(lsn db-a '.archive.lsn == .durable_lsn')" = true ]; then break; fi
        sleep 0.1
    done
    ssh "$1" systemctl start stemedb-api
    for _ in $(seq 200); do
        if [ "$(lsn "$1" .published_lsn)" = "$(lsn db-a .published_lsn)" ]; then exit 0; fi
        sleep 0.1
    done
    echo "$1 does not follow" >&2
    exit 1
"#;

/// Runs a scenario; everything it prints goes to standard output. Returns how many blocks were run.
pub fn run(page: &str, scenario: &Scenario) -> Result<usize, String> {
    println!("\n{page}: {}", scenario.name);
    let outcome = run_blocks(page, scenario);
    if outcome.is_err() {
        println!("--- the end of the server's log\n{}", end_of_the_log());
    }
    outcome
}

fn run_blocks(page: &str, scenario: &Scenario) -> Result<usize, String> {
    let Some((fault, rest)) = scenario.blocks.split_first() else { return Ok(0) };
    let (kind, size) =
        fault.attribute("disk").unwrap_or("tmpfs:512m").split_once(':').ok_or("disk=\"KIND:SIZE\"")?;
    let mut reset = Command::new("bash");
    reset.arg(format!("{STATE}/reset")).args([kind, size]);
    if let Some(database) = fault.attribute("database") {
        reset.arg(repository()?.join(database));
    }
    let standby = fault.attribute("standby").unwrap_or_default();
    run_to_end(reset.env("STANDBY", standby))?;
    let of_guides = scenario.is_of_guides();
    let claims = fault.attribute("claims").unwrap_or(if of_guides { "0" } else { "500" });
    let claims: usize = claims.parse().map_err(|_| "claims is no number".to_owned())?;
    if fault.attribute("server") != Some("stopped") {
        run_to_end(Command::new("systemctl").args(["start", "stemedb-api"]))?;
    }
    let mut stream = Stream::load(claims)?;
    if !standby.is_empty() {
        run_to_end(Command::new("bash").args(["-ec", FOLLOW, "bash", standby]))?;
    }
    if !of_guides {
        stream.begin(&scenario.name);
        // Something to lose.
        thread::sleep(Duration::from_millis(200));
    }
    if fault.attribute("writers") == Some("end") {
        stream.end();
    }
    block(page, fault)?;
    for next in rest {
        block(page, next)?;
    }
    // A guide may end with a server that speaks TLS, or asks for keys: its looks say what must be so.
    if !of_guides || claims > 0 {
        well()?;
        let objectives = Objectives { rpo: fault.seconds("rpo")?, rto: fault.seconds("rto")? };
        println!("  {}", stream.examine(objectives)?);
    }
    Ok(scenario.blocks.len())
}

fn repository() -> Result<PathBuf, String> {
    std::env::var_os(REPOSITORY).map(PathBuf::from).ok_or(format!("no {REPOSITORY}"))
}

/// Runs a block and compares its output.
fn block(page: &str, block: &Block) -> Result<(), String> {
    let start = Instant::now();
    let within =
        block.seconds("within")?.unwrap_or(if block.kind.is_look() { LOOK_WITHIN } else { Duration::ZERO });
    let place = format!("{page}:{} {}", block.line, block.kind.name());
    loop {
        let (code, output) = shell(block)?;
        let mut wrong: Vec<String> = expect::unmet(&block.expect, &output)
            .into_iter()
            .map(|pattern| format!("not found: {pattern}"))
            .collect();
        let must_succeed = block.kind.begins()
            || matches!(block.kind, Kind::FaultEnds | Kind::Mitigate | Kind::Prevent | Kind::Run);
        if must_succeed && code != Some(0) {
            wrong.push(format!("it ended with {code:?}"));
        }
        if wrong.is_empty() {
            println!("  {place}: as expected ({:.1} s)", start.elapsed().as_secs_f64());
            return Ok(());
        }
        if start.elapsed() >= within {
            println!("  {place}: NOT as expected\n{}--- its output\n{output}---", indented(&block.script));
            return Err(format!("{place}: {}", wrong.join("; ")));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Runs the text of a block as it stands there; its exit code, and what it wrote to both outputs. One that is to run `for` some seconds
/// is interrupted then, as by Ctrl-C.
fn shell(block: &Block) -> Result<(Option<i32>, String), String> {
    let interrupt = block.seconds("for")?;
    let mut command = Command::new("stdbuf");
    // A terminal shows lines as they come; so does this.
    command.args(["-oL", "bash"]);
    if !(block.kind.is_look() || block.kind == Kind::Original) {
        command.arg("-e");
    }
    let folder = match block.kind {
        Kind::Begin | Kind::Run | Kind::Look => repository()?,
        _ => PathBuf::from("/root"),
    };
    command.arg("-c").arg(&block.script).current_dir(folder);
    let output = fs::File::create(format!("{STATE}/output")).map_err(|error| error.to_string())?;
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("bash: {error}"))?;
    let code = wait(&mut child, interrupt.unwrap_or(BLOCK_LIMIT));
    if code.is_none() {
        signal("INT", child.id());
        if wait(&mut child, Duration::from_secs(2)).is_none() {
            signal("KILL", child.id());
            let _ = child.wait();
        }
        if interrupt.is_none() {
            return Err(format!("line {}: it does not end", block.line));
        }
    }
    let mut text = Vec::new();
    let file = fs::File::open(format!("{STATE}/output")).map_err(|error| error.to_string())?;
    file.take(4 << 20).read_to_end(&mut text).map_err(|error| error.to_string())?;
    let code = code.or(interrupt.map(|_| 0));
    Ok((code, String::from_utf8_lossy(&text).into_owned()))
}

fn wait(child: &mut Child, limit: Duration) -> Option<i32> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.code().unwrap_or(-1)),
            Ok(None) if start.elapsed() < limit => thread::sleep(Duration::from_millis(10)),
            Ok(None) | Err(_) => return None,
        }
    }
}

fn signal(name: &str, group: u32) {
    let _ =
        Command::new("kill").args(["-s", name, "--", &format!("-{group}")]).stderr(Stdio::null()).status();
}

/// Waits until the server says that everything works.
fn well() -> Result<(), String> {
    let start = Instant::now();
    loop {
        let said = match get("/readyz") {
            Ok(reply) if reply.status == 200 => return Ok(()),
            Ok(reply) => reply.body,
            Err(error) => error.to_string(),
        };
        if start.elapsed() > WELL_WITHIN {
            return Err(format!("the server is not well at the end: {said}"));
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn run_to_end(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{:?} {:?}: {said}", command.get_program(), command.get_args().collect::<Vec<_>>()))
}

fn end_of_the_log() -> String {
    let text = fs::read_to_string(format!("{STATE}/journal")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let short = |line: &&str| line.chars().take(400).collect::<String>();
    lines[lines.len().saturating_sub(25)..].iter().map(short).collect::<Vec<_>>().join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
