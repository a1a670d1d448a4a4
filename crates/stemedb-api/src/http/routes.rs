//! The one table of routes: the router and the OpenAPI document are both made from it.

use axum::routing::{MethodRouter, delete, get, post, put};
use utoipa::openapi::path::Operation;

use super::{
    App, admin,
    auth::{Access, Scope, admin as keys},
    backups, claims, diff, events, export, feed,
    gate::Rule,
    health, import,
    limits::Group,
    list, openapi, promote, read, schemas, storage, watches, write,
};

/// One route.
pub(super) struct Route {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Its template, as metrics and the document name it.
    pub path: &'static str,
    /// What it asks of whoever calls it.
    pub access: Access,
    pub handler: MethodRouter<App>,
    pub operation: Operation,
}

impl Route {
    /// What the gate knows of it.
    pub(super) fn rule(&self) -> Rule {
        let (group, units) = match (self.access, self.path) {
            (_, "/v1/import" | "/v1/export") => (Group::Bulk, 10),
            (_, "/v1/feed" | "/v1/watches/events") => (Group::Bulk, 1),
            (Access::Needs(Scope::Admin), _) => (Group::Admin, 1),
            (Access::Needs(Scope::Write), _) => (Group::Writes, 1),
            // These may look at very much.
            (_, "/v1/diff" | "/v1/conflicts") => (Group::Reads, 10),
            (Access::Open | Access::Needs(Scope::Read), _) => (Group::Reads, 1),
        };
        Rule { method: self.method, path: self.path, access: self.access, group, units }
    }
}

fn get_route(access: Access, path: &'static str, handler: MethodRouter<App>, operation: Operation) -> Route {
    Route { method: "GET", path, access, handler, operation }
}

fn post_route(access: Access, path: &'static str, handler: MethodRouter<App>, operation: Operation) -> Route {
    Route { method: "POST", path, access, handler, operation }
}

fn put_route(access: Access, path: &'static str, handler: MethodRouter<App>, operation: Operation) -> Route {
    Route { method: "PUT", path, access, handler, operation }
}

fn delete_route(
    access: Access,
    path: &'static str,
    handler: MethodRouter<App>,
    operation: Operation,
) -> Route {
    Route { method: "DELETE", path, access, handler, operation }
}

const OPEN: Access = Access::Open;
const READ: Access = Access::Needs(Scope::Read);
const WRITE: Access = Access::Needs(Scope::Write);
const ADMIN: Access = Access::Needs(Scope::Admin);

/// Every route.
pub(super) fn table() -> Vec<Route> {
    vec![
        post_route(WRITE, "/v1/assert", post(write::assert), schemas::assert()),
        post_route(WRITE, "/v1/vote", post(write::vote), schemas::vote()),
        post_route(WRITE, "/v1/supersede", post(write::supersede), schemas::supersede()),
        post_route(WRITE, "/v1/epoch", post(write::epoch), schemas::epoch()),
        post_route(WRITE, "/v1/source", post(write::source), schemas::source()),
        post_route(WRITE, "/v1/agent", post(write::agent), schemas::agent()),
        post_route(WRITE, "/v1/import", post(import::import), schemas::import()),
        get_route(READ, "/v1/export", get(export::export), schemas::export()),
        get_route(READ, "/v1/query", get(read::query), schemas::query()),
        get_route(READ, "/v1/skeptic", get(read::skeptic), schemas::skeptic()),
        get_route(READ, "/v1/layered", get(read::layered), schemas::layered()),
        get_route(READ, "/v1/assertions/{id}", get(read::assertion), schemas::assertion()),
        get_route(READ, "/v1/assertions/{id}/history", get(claims::history), schemas::history()),
        get_route(READ, "/v1/assertions/{id}/impact", get(claims::impact), schemas::impact()),
        get_route(READ, "/v1/agents/{id}", get(claims::agent), schemas::agent_known()),
        get_route(READ, "/v1/diff", get(diff::diff), schemas::diff()),
        get_route(READ, "/v1/feed", get(feed::feed), schemas::feed()),
        get_route(READ, "/v1/watches", get(watches::list), schemas::watches()),
        post_route(WRITE, "/v1/watches", post(watches::post), schemas::watch_many()),
        get_route(READ, "/v1/watches/events", get(watches::events), schemas::watch_events()),
        get_route(READ, "/v1/watches/{id}", get(watches::get), schemas::watch_known()),
        put_route(WRITE, "/v1/watches/{id}", put(watches::put), schemas::watch()),
        delete_route(WRITE, "/v1/watches/{id}", delete(watches::delete), schemas::unwatch()),
        get_route(READ, "/v1/claims", get(list::claims), schemas::claims()),
        get_route(READ, "/v1/questions", get(list::questions), schemas::questions()),
        get_route(READ, "/v1/conflicts", get(list::conflicts), schemas::conflicts()),
        post_route(ADMIN, "/v1/admin/backup", post(backups::backup), schemas::admin_backup()),
        get_route(ADMIN, "/v1/admin/backup/status", get(backups::status), schemas::admin_backup_status()),
        post_route(ADMIN, "/v1/admin/wal/archive", post(backups::archive), schemas::admin_archive()),
        post_route(ADMIN, "/v1/admin/promote", post(promote::promote), schemas::promote()),
        get_route(ADMIN, "/v1/admin/storage/stats", get(admin::stats::stats), schemas::storage_stats()),
        post_route(ADMIN, "/v1/admin/storage/compact", post(admin::jobs::compact), schemas::compact()),
        post_route(ADMIN, "/v1/admin/storage/verify", post(admin::jobs::verify), schemas::verify()),
        get_route(ADMIN, "/v1/admin/jobs", get(admin::jobs::list), schemas::jobs()),
        get_route(ADMIN, "/v1/admin/jobs/{id}", get(admin::jobs::get), schemas::job_known()),
        get_route(ADMIN, "/v1/admin/slow-queries", get(admin::slow_queries::list), schemas::slow_queries()),
        get_route(ADMIN, "/v1/admin/log-level", get(admin::log_level::get), schemas::log_level()),
        put_route(ADMIN, "/v1/admin/log-level", put(admin::log_level::put), schemas::set_log_level()),
        get_route(ADMIN, "/v1/admin/storage/events", get(events::events), schemas::events()),
        get_route(ADMIN, "/v1/admin/server-key", get(read::server_key), schemas::server_key()),
        get_route(ADMIN, "/v1/admin/keys", get(keys::list), schemas::admin_keys()),
        post_route(ADMIN, "/v1/admin/keys", post(keys::create), schemas::admin_create_key()),
        delete_route(ADMIN, "/v1/admin/keys/{id}", delete(keys::revoke), schemas::admin_revoke_key()),
        get_route(OPEN, "/v1/health", get(health::health), schemas::health()),
        get_route(ADMIN, "/v1/admin/storage/scrub", get(storage::scrub), schemas::scrub()),
        post_route(ADMIN, "/v1/admin/storage/scrub", post(storage::begin_scrub), schemas::begin_scrub()),
        get_route(OPEN, "/livez", get(health::livez), schemas::livez()),
        get_route(OPEN, "/readyz", get(health::readyz), schemas::readyz()),
        get_route(OPEN, "/metrics", get(health::metrics), schemas::metrics()),
        get_route(OPEN, "/openapi.json", get(openapi::serve), schemas::openapi()),
    ]
}

/// Method and path template of every route.
pub fn route_list() -> Vec<(&'static str, &'static str)> {
    table().into_iter().map(|route| (route.method, route.path)).collect()
}

/// Method, path template and access of every route.
pub fn route_access() -> Vec<(&'static str, &'static str, Access)> {
    table().into_iter().map(|route| (route.method, route.path, route.access)).collect()
}
