//! A certificate authority of the run's own, and TLS connections that trust nobody else.
//!
//! `xtask` has no TLS; a connection is a running `openssl s_client` that verifies the chain and the name, with its ends as a stream.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::steps::Outcome;

/// The name that the shipped configurations answer to.
pub const NAME: &str = "stemedb.example";

/// An authority and the certificate for [`NAME`] that it has issued, as files of a folder.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Makes both, good for two days; and another authority with a certificate for the same name.
    pub fn new(folder: &Path) -> Result<Authority, String> {
        let authority = Authority { folder: folder.to_path_buf() };
        for (name, leaf) in [("authority", "stemedb"), ("other", "renewed")] {
            let own = authority.files(name);
            let subject = format!("/CN={name} of the run");
            request(&own, &["-subj", &subject, "-addext", "basicConstraints=critical,CA:TRUE"])?;
            let (subject, names) = (format!("/CN={NAME}"), format!("subjectAltName=DNS:{NAME}"));
            let (signing, signing_key) = (own.0.display().to_string(), own.1.display().to_string());
            let signed = ["-CA", &signing, "-CAkey", &signing_key, "-addext", &names];
            let subject = ["-subj", &subject, "-addext", "basicConstraints=critical,CA:FALSE"];
            request(&authority.files(leaf), &[&signed[..], &subject[..]].concat())?;
        }
        Ok(authority)
    }

    /// A certificate and its key.
    fn files(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")))
    }

    /// Whom connections trust.
    pub fn trusted(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// The other authority.
    pub fn stranger(&self) -> PathBuf {
        self.folder.join("other.pem")
    }

    /// The certificate of the proxy, and its key.
    pub fn certificate(&self) -> (PathBuf, PathBuf) {
        self.files("stemedb")
    }

    /// The one that takes its place: of the other authority.
    pub fn renewed(&self) -> (PathBuf, PathBuf) {
        self.files("renewed")
    }
}

fn request((certificate, key): &(PathBuf, PathBuf), words: &[&str]) -> Outcome {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-days", "2"]).args(words).arg("-keyout").arg(key).arg("-out").arg(certificate);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("openssl: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// A connection to a proxy on this machine.
pub struct Stream {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Stream {
    /// Connects from `from`, an address of this machine, and trusts `trusted` alone. Whether the other end is who it should be turns
    /// out with the first request: there is no reply if it is not.
    pub fn open(from: &str, port: u16, trusted: &Path, name: &str) -> io::Result<Stream> {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}"), "-bind", from])
            .args(["-servername", name, "-verify_hostname", name, "-alpn", "http/1.1"])
            .args(["-verify", "4", "-verify_return_error", "-no-CApath", "-no-CAstore", "-CAfile"])
            .arg(trusted);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(to), Some(from)) => Ok(Stream { child, to, from }),
            _ => Err(io::Error::other("openssl has no pipes")),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.to.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
