//! The parent's hold on a writer: start it, listen, make it stand still, end it.

use std::{
    ffi::OsString,
    io::{Read, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, Signal, WaitOptions, kill_process, waitpid},
};

use crate::{Broken, Result, life::WriterOptions, protocol::Line};

/// Room for acknowledgements while the parent is busy with a copy.
const PIPE_BYTES: usize = 1 << 20;

/// How long a pipe may take to be empty whose writer has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A writer process. Dropping it kills it.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    out: ChildStdout,
    /// The start of a line whose end has not been read.
    partial: Vec<u8>,
    ended: bool,
}

impl Writer {
    /// Starts this program again as a writer of a journal.
    pub fn start(options: &WriterOptions) -> Result<Writer> {
        Writer::start_as("writer", options.arguments())
    }

    /// Starts this program again with a subcommand that writes.
    pub fn start_as(subcommand: &str, arguments: Vec<OsString>) -> Result<Writer> {
        let fail = |error: std::io::Error| Broken(format!("start a writer: {error}"));
        let program = std::env::current_exe().map_err(fail)?;
        let mut child = Command::new(program)
            .arg(subcommand)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let out = child.stdout.take().ok_or_else(|| Broken("a writer without a pipe".to_owned()))?;
        // A smaller pipe only makes the writer wait more often.
        let _ = rustix::pipe::fcntl_setpipe_size(&out, PIPE_BYTES);
        Ok(Writer { child, out, partial: Vec::new(), ended: false })
    }

    /// Reads what it says until `time` has passed, or it has ended.
    pub fn listen(&mut self, time: Duration) -> Result<Vec<Line>> {
        let until = Instant::now() + time;
        let mut lines = Vec::new();
        while !self.ended {
            let left = until.saturating_duration_since(Instant::now());
            if !self.readable(left)? {
                break;
            }
            let mut chunk = vec![0; 64 << 10];
            let n =
                self.out.read(&mut chunk).map_err(|error| Broken(format!("read from a writer: {error}")))?;
            if n == 0 {
                self.ended = true;
                break;
            }
            self.partial.extend_from_slice(chunk.get(..n).unwrap_or_default());
            while let Some(end) = self.partial.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                lines.push(String::from_utf8_lossy(&line).trim_end().parse()?);
            }
        }
        Ok(lines)
    }

    fn readable(&self, left: Duration) -> Result<bool> {
        let mut fds = [PollFd::new(&self.out, PollFlags::IN)];
        let timeout = rustix::fs::Timespec::try_from(left).map_err(|error| Broken(error.to_string()))?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(Broken(format!("poll: {errno}"))),
        }
    }

    /// True after it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Makes it stand still, and returns when every thread does: none is in a system call any more. Returns what it
    /// said before that and was not read yet.
    pub fn stop(&mut self) -> Result<Vec<Line>> {
        let pid = self.signal(Signal::STOP)?;
        match waitpid(Some(pid), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => self.listen(Duration::ZERO),
            other => {
                let said = self.listen(Duration::ZERO)?;
                let said: Vec<String> = said.iter().map(ToString::to_string).collect();
                Err(Broken(format!("the writer ended: {other:?}, {}", said.join("; "))))
            }
        }
    }

    /// Lets it go on.
    pub fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    /// Ends it at whatever it does, without a word. Returns what it said before.
    pub fn kill(mut self) -> Result<Vec<Line>> {
        self.signal(Signal::KILL)?;
        self.child.wait().map_err(|error| Broken(format!("wait for a writer: {error}")))?;
        self.listen(LAST_WORDS)
    }

    /// Asks it for something.
    pub fn ask(&mut self, what: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or_else(|| Broken("a writer without a pipe".to_owned()))?;
        writeln!(stdin, "{what}").map_err(|error| Broken(format!("ask a writer: {error}")))
    }

    fn signal(&self, signal: Signal) -> Result<Pid> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).map_err(|errno| Broken(format!("signal a writer: {errno}")))?;
        Ok(pid)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
