//! The two routes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Bytes,
    extract::{Query as Parameters, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use stemedb_api::{
    Query, Resolved,
    json::{self, AnswerJson},
};
use stemedb_core::{Lens, Micros, lens::Evidence, resolve};
use stemedb_env::Lsn;
use stemedb_peers::{
    engine::Result,
    questions::{
        data::Question,
        postgres::{ASSERT, Columns, told},
        sql::{ASK, add},
    },
};

/// What the routes share.
pub struct App {
    pool: Pool,
    ask: String,
    /// The last LSN that was given.
    last: AtomicI64,
}

/// What is answered to a failure.
pub struct Failed(StatusCode, String);

impl<E: std::fmt::Display> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

fn reply(status: StatusCode, value: &impl Serialize) -> std::result::Result<Response, Failed> {
    let body = serde_json::to_vec(value)?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(since.as_micros() as i64)
}

impl App {
    pub fn new(pool: Pool, last: u64) -> App {
        App { pool, ask: ASK.replace('?', "$"), last: AtomicI64::new(last as i64) }
    }

    /// Whether a commit waits for the disk.
    pub async fn check(&self) -> Result<()> {
        let client = self.pool.get().await?;
        for name in ["synchronous_commit", "fsync"] {
            let row = client.query_one(&format!("SHOW {name}"), &[]).await?;
            let value: String = row.try_get(0)?;
            if value != "on" {
                return Err(format!("{name} is {value}").into());
            }
        }
        Ok(())
    }

    async fn resolve(&self, query: Query) -> Result<Resolved> {
        let client = self.pool.get().await?;
        let ask = client.prepare_cached(&self.ask).await?;
        let rows = client.query(&ask, &[&query.subject, &query.predicate]).await?;
        drop(client);
        let question = Question { subject: query.subject.clone(), predicate: query.predicate.clone() };
        let mut candidates = Vec::new();
        for row in &rows {
            add(&mut candidates, &question, told(row)?)?;
        }
        let evaluated_at = now();
        let params = query.params(evaluated_at);
        let answer = resolve(query.lens, &candidates, &params);
        Ok(Resolved {
            query,
            answer,
            candidates: Arc::new(candidates.into()),
            successors: Vec::new(),
            lsn: Lsn(self.last.load(Ordering::Relaxed) as u64),
            params,
            evidence: Evidence::default(),
            fragility: None,
            evaluated_at,
            used: None,
        })
    }
}

/// The parameters of a question that are needed here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    subject: String,
    predicate: String,
}

/// `GET /v1/query`
pub async fn query(
    State(app): State<Arc<App>>,
    Parameters(Asked { subject, predicate }): Parameters<Asked>,
) -> std::result::Result<Response, Failed> {
    let resolved = app.resolve(Query::new(subject, predicate, Lens::Consensus)).await?;
    reply(StatusCode::OK, &AnswerJson::new(&resolved, false))
}

#[derive(Serialize)]
struct Recorded {
    id: String,
    hash: String,
    lsn: i64,
    created: bool,
}

/// `POST /v1/assert`
pub async fn assert(State(app): State<Arc<App>>, body: Bytes) -> std::result::Result<Response, Failed> {
    let claim = json::assertion(&body).map_err(|why| Failed(StatusCode::BAD_REQUEST, why.to_string()))?;
    let id = claim.id();
    let lsn = app.last.fetch_add(1, Ordering::Relaxed) + 1;
    let client = app.pool.get().await?;
    let assert = client.prepare_cached(ASSERT).await?;
    let created = client.execute(&assert, &Columns::of(&claim, id, (lsn, 0), now().0).all()).await? == 1;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    reply(status, &Recorded { id: id.to_string(), hash: id.to_string(), lsn, created })
}
