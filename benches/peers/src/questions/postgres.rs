//! PostgreSQL behind a socket of this machine: a server of its own, made for the run and ended with it.

use std::{
    cell::RefCell,
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use postgres::{
    Client, Config, NoTls, Row, Statement,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};
use rustix::process::{Pid, Signal, kill_process};
use stemedb_core::{Answer, Assertion, ClaimId, Lens};

use super::{
    contender::{Asker, ClaimStore, Contender, look},
    data::{Batch, Question},
    sql::{self, ASK, Sorted, Told, columns_of},
};
use crate::engine::{Kind, Result};

/// Where Debian keeps the programs of a server.
const INSTALLED: &str = "/usr/lib/postgresql";
/// A server does not run as root; this is whom Debian's packages make for it.
pub const OWNER: &str = "postgres";
/// In a contender's folder: where its server's socket is.
const SOCKET: &str = "socket";
const PATIENCE: Duration = Duration::from_secs(30);
const SCHEMA: &str = "
    CREATE TABLE claims (subject TEXT NOT NULL, predicate TEXT NOT NULL, lsn BIGINT NOT NULL, ordinal INT NOT NULL,
        id BYTEA NOT NULL, recorded_at BIGINT NOT NULL, kind SMALLINT NOT NULL, object TEXT NOT NULL, source TEXT NOT NULL,
        confidence BIGINT, class SMALLINT, epoch TEXT, lifecycle SMALLINT, valid_from BIGINT, valid_to BIGINT,
        observed_at BIGINT, author BYTEA, PRIMARY KEY (subject, predicate, lsn, ordinal));
    CREATE UNIQUE INDEX claims_by_id ON claims (id);
    CREATE INDEX claims_by_source ON claims (source, lsn, ordinal);
    CREATE INDEX claims_by_predicate ON claims (predicate, subject);
    CREATE TABLE votes (claim BYTEA NOT NULL, agent BYTEA NOT NULL, weight BIGINT NOT NULL, PRIMARY KEY (claim, agent));
    CREATE TABLE superseded (old BYTEA NOT NULL, lsn BIGINT NOT NULL, ordinal INT NOT NULL, new BYTEA,
        PRIMARY KEY (old, lsn, ordinal));
    CREATE TABLE sources (id TEXT PRIMARY KEY, class SMALLINT NOT NULL);
    CREATE TABLE entries (lsn BIGINT PRIMARY KEY, recorded_at BIGINT NOT NULL);";
/// Records one claim by itself: its columns in the order of the table, from the subject to the author. Nothing happens if it is there.
pub const ASSERT: &str = "INSERT INTO claims VALUES \
    ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT (id) DO NOTHING";
const COPY_CLAIMS: &str = "COPY claims FROM STDIN BINARY";
const VOTE: &str = "INSERT INTO votes (claim, agent, weight) VALUES ($1, $2, $3) \
    ON CONFLICT (claim, agent) DO UPDATE SET weight = EXCLUDED.weight";
const SUPERSEDED: &str = "INSERT INTO superseded (old, lsn, ordinal, new) VALUES ($1, $2, $3, $4)";
const SOURCE: &str =
    "INSERT INTO sources (id, class) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET class = EXCLUDED.class";
const ENTRY: &str = "INSERT INTO entries (lsn, recorded_at) VALUES ($1, $2)";
const CLAIM_TYPES: [Type; 17] = [
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::INT4,
    Type::BYTEA,
    Type::INT8,
    Type::INT2,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::INT2,
    Type::TEXT,
    Type::INT2,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::BYTEA,
];

/// The columns of a claim that are not a member of it as it is.
pub struct Columns<'a> {
    claim: &'a Assertion,
    place: (i64, i32),
    recorded: i64,
    id: Vec<u8>,
    kind: i16,
    object: String,
    confidence: Option<i64>,
    class: Option<i16>,
    lifecycle: Option<i16>,
    times: [Option<i64>; 3],
    author: Option<Vec<u8>>,
}

impl<'a> Columns<'a> {
    /// Those of a claim that was recorded at an LSN, as which of its entry, and when.
    pub fn of(claim: &'a Assertion, id: ClaimId, place: (i64, i32), recorded: i64) -> Columns<'a> {
        let (kind, object) = columns_of(&claim.object);
        Columns {
            claim,
            place,
            recorded,
            id: id.0.to_vec(),
            kind: kind as i16,
            object,
            confidence: claim.confidence.map(|confidence| confidence.0),
            class: claim.source_class.map(|class| i16::from(class.number())),
            lifecycle: claim.lifecycle.map(|stage| stage as i16),
            times: [claim.valid_from, claim.valid_to, claim.observed_at].map(|time| time.map(|time| time.0)),
            author: claim.author.map(|agent| agent.0.to_vec()),
        }
    }

    /// All of them, in the order of the table.
    pub fn all(&self) -> [&(dyn ToSql + Sync); 17] {
        let [valid_from, valid_to, observed_at] = &self.times;
        [
            &self.claim.subject,
            &self.claim.predicate,
            &self.place.0,
            &self.place.1,
            &self.id,
            &self.recorded,
            &self.kind,
            &self.object,
            &self.claim.source,
            &self.confidence,
            &self.class,
            &self.claim.epoch,
            &self.lifecycle,
            valid_from,
            valid_to,
            observed_at,
            &self.author,
        ]
    }
}

/// The contender.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// For its shared buffers.
    pub cache_bytes: usize,
    programs: PathBuf,
    version: String,
}

impl Postgres {
    /// The newest installed server.
    ///
    /// # Errors
    /// Without one, with what to install.
    pub fn find(cache_bytes: usize) -> Result<Postgres> {
        let missing = "PostgreSQL is not installed (apt-get install postgresql)";
        let mut versions: Vec<PathBuf> =
            fs::read_dir(INSTALLED).map_err(|_| missing)?.flatten().map(|entry| entry.path()).collect();
        versions.retain(|path| path.join("bin/initdb").exists());
        versions.sort();
        let programs = versions.pop().ok_or(missing)?.join("bin");
        let said = Command::new(programs.join("postgres")).arg("--version").output()?;
        let version = String::from_utf8_lossy(&said.stdout).split('(').nth(1).map_or_else(
            || String::from_utf8_lossy(&said.stdout).trim().to_owned(),
            |_| String::from_utf8_lossy(&said.stdout).split_whitespace().nth(2).unwrap_or("?").to_owned(),
        );
        Ok(Postgres { cache_bytes, programs, version })
    }

    /// Where the server that [`Contender::create`] starts in this folder is spoken to.
    pub fn socket(folder: &Path) -> PathBuf {
        folder.join(SOCKET)
    }
}

/// User and group of the server's owner, if this process may become him.
fn owner() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.split(':').next() == Some(OWNER));
    let mut fields = line.ok_or("there is no user for the server")?.split(':').skip(2);
    let mut number =
        || fields.next().and_then(|field| field.parse().ok()).ok_or("/etc/passwd is not understood");
    Ok(Some((number()?, number()?)))
}

/// A running server. Ended when dropped.
struct Server {
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // "Fast": without waiting for clients.
        if let Some(pid) = Pid::from_raw(self.process.id() as i32) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.process.wait();
    }
}

struct Opened {
    client: RefCell<Client>,
    config: Config,
    // After the clients.
    _server: Server,
}

struct View {
    client: Client,
    ask: Statement,
}

impl Postgres {
    fn command(&self, program: &str, owner: Option<(u32, u32)>) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if let Some((user, group)) = owner {
            command.uid(user).gid(group);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
        command
    }
}

impl Contender for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn version(&self) -> String {
        format!("PostgreSQL {}", self.version)
    }

    fn configuration(&self) -> String {
        format!(
            "{} on a Unix socket: claims indexed by question, id, source and predicate, CLUSTER and VACUUM ANALYZE \
             before it is asked; one prepared statement a question; shared_buffers {} MiB; batches by binary COPY; durable: \
             synchronous_commit=on",
            self.version(),
            self.cache_bytes >> 20
        )
    }

    fn create(&self, folder: &Path) -> Result<Box<dyn ClaimStore>> {
        let owner = owner()?;
        let (data, socket) = (folder.join("postgres"), Postgres::socket(folder));
        for dir in [&data, &socket] {
            fs::create_dir(dir)?;
            if let Some((user, group)) = owner {
                chown(dir, Some(user), Some(group))?;
            }
        }
        // The server's owner must find his way through a folder that is another user's.
        for above in folder.ancestors().take(2) {
            let mode = fs::metadata(above)?.permissions().mode();
            if mode & 0o001 == 0 {
                fs::set_permissions(above, fs::Permissions::from_mode(mode | 0o011))?;
            }
        }
        let mut initdb = self.command("initdb", owner);
        initdb.arg("-D").arg(&data).args([
            "-A",
            "trust",
            "-U",
            OWNER,
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        if !initdb.status()?.success() {
            return Err("initdb failed".into());
        }
        let mut server = self.command("postgres", owner);
        server.arg("-D").arg(&data).arg("-k").arg(&socket).args(["-c", "listen_addresses="]);
        server.args(["-c", &format!("shared_buffers={}MB", self.cache_bytes >> 20)]);
        server.args(["-c", "max_wal_size=2GB", "-c", "maintenance_work_mem=256MB", "-c", "jit=off"]);
        let server = Server { process: server.stderr(Stdio::null()).spawn()? };
        let mut config = Config::new();
        config.host_path(&socket).user(OWNER).dbname("postgres");
        let started = Instant::now();
        let mut client = loop {
            match config.connect(NoTls) {
                Ok(client) => break client,
                Err(error) if started.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        };
        client.batch_execute(SCHEMA)?;
        Ok(Box::new(Opened { client: RefCell::new(client), config, _server: server }))
    }
}

impl ClaimStore for Opened {
    fn record(&mut self, batch: &Batch) -> Result<()> {
        let sorted = Sorted::of(batch)?;
        let (lsn, recorded) = (batch.lsn as i64, batch.recorded_at.0);
        let client = self.client.get_mut();
        let mut transaction = client.transaction()?;
        let mut copy = BinaryCopyInWriter::new(transaction.copy_in(COPY_CLAIMS)?, &CLAIM_TYPES);
        for (ordinal, id, claim) in sorted.claims {
            copy.write(&Columns::of(claim, id, (lsn, ordinal as i32), recorded).all())?;
        }
        copy.finish()?;
        for vote in sorted.votes {
            transaction.execute(VOTE, &[&&vote.assertion.0[..], &&vote.agent.0[..], &vote.weight.0])?;
        }
        for (ordinal, change) in sorted.superseded {
            let new = change.new.map(|new| new.0.to_vec());
            transaction.execute(SUPERSEDED, &[&&change.old.0[..], &lsn, &(ordinal as i32), &new])?;
        }
        for source in sorted.sources {
            transaction.execute(SOURCE, &[&source.id, &i16::from(source.class.number())])?;
        }
        transaction.execute(ENTRY, &[&lsn, &recorded])?;
        Ok(transaction.commit()?)
    }

    fn settle(&mut self) -> Result<()> {
        let client = self.client.get_mut();
        client.batch_execute("CLUSTER claims USING claims_pkey")?;
        client.batch_execute("VACUUM ANALYZE")?;
        Ok(client.batch_execute("CHECKPOINT")?)
    }

    fn asker(&self) -> Result<Box<dyn Asker + '_>> {
        let mut client = self.config.connect(NoTls)?;
        let ask = client.prepare(&ASK.replace('?', "$"))?;
        Ok(Box::new(View { client, ask }))
    }
}

/// A row of the answer to [`ASK`].
///
/// # Errors
/// For columns of other types.
pub fn told(row: &Row) -> Result<Told> {
    Ok(Told {
        at: (row.try_get(0)?, i64::from(row.try_get::<_, i32>(1)?)),
        id: row.try_get(2)?,
        recorded_at: row.try_get(3)?,
        object: (i64::from(row.try_get::<_, i16>(4)?), row.try_get(5)?),
        source: row.try_get(6)?,
        confidence: row.try_get(7)?,
        class: i64::from(row.try_get::<_, i32>(8)?),
        epoch: row.try_get(9)?,
        lifecycle: row.try_get::<_, Option<i16>>(10)?.map(i64::from),
        times: [row.try_get(11)?, row.try_get(12)?, row.try_get(13)?],
        author: row.try_get(14)?,
        superseded: row.try_get::<_, Option<i32>>(15)?.map(i64::from),
        vote: (row.try_get(16)?, row.try_get(17)?),
    })
}

impl Asker for View {
    fn ask(&mut self, question: &Question, lens: Lens) -> Result<Answer> {
        let rows = self.client.query(&self.ask, &[&question.subject, &question.predicate])?;
        let mut candidates = Vec::new();
        for row in &rows {
            sql::add(&mut candidates, question, told(row)?)?;
        }
        Ok(look(lens, &candidates))
    }
}
