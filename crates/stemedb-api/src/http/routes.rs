//! The one table of routes: the router and the OpenAPI document are both made from it.

use axum::routing::{MethodRouter, delete, get, post, put};
use utoipa::openapi::path::Operation;

use super::{
    App, admin, backups, claims, diff, events, export, feed, health, import, list, openapi, read, schemas,
    storage, watches, write,
};

/// One route.
pub(super) struct Route {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Its template, as metrics and the document name it.
    pub path: &'static str,
    pub handler: MethodRouter<App>,
    pub operation: Operation,
}

fn get_route(path: &'static str, handler: MethodRouter<App>, operation: Operation) -> Route {
    Route { method: "GET", path, handler, operation }
}

fn post_route(path: &'static str, handler: MethodRouter<App>, operation: Operation) -> Route {
    Route { method: "POST", path, handler, operation }
}

fn put_route(path: &'static str, handler: MethodRouter<App>, operation: Operation) -> Route {
    Route { method: "PUT", path, handler, operation }
}

fn delete_route(path: &'static str, handler: MethodRouter<App>, operation: Operation) -> Route {
    Route { method: "DELETE", path, handler, operation }
}

/// Every route.
pub(super) fn table() -> Vec<Route> {
    vec![
        post_route("/v1/assert", post(write::assert), schemas::assert()),
        post_route("/v1/vote", post(write::vote), schemas::vote()),
        post_route("/v1/supersede", post(write::supersede), schemas::supersede()),
        post_route("/v1/epoch", post(write::epoch), schemas::epoch()),
        post_route("/v1/source", post(write::source), schemas::source()),
        post_route("/v1/agent", post(write::agent), schemas::agent()),
        post_route("/v1/import", post(import::import), schemas::import()),
        get_route("/v1/export", get(export::export), schemas::export()),
        get_route("/v1/query", get(read::query), schemas::query()),
        get_route("/v1/skeptic", get(read::skeptic), schemas::skeptic()),
        get_route("/v1/layered", get(read::layered), schemas::layered()),
        get_route("/v1/assertions/{id}", get(read::assertion), schemas::assertion()),
        get_route("/v1/assertions/{id}/history", get(claims::history), schemas::history()),
        get_route("/v1/assertions/{id}/impact", get(claims::impact), schemas::impact()),
        get_route("/v1/agents/{id}", get(claims::agent), schemas::agent_known()),
        get_route("/v1/diff", get(diff::diff), schemas::diff()),
        get_route("/v1/feed", get(feed::feed), schemas::feed()),
        get_route("/v1/watches", get(watches::list), schemas::watches()),
        post_route("/v1/watches", post(watches::post), schemas::watch_many()),
        get_route("/v1/watches/events", get(watches::events), schemas::watch_events()),
        get_route("/v1/watches/{id}", get(watches::get), schemas::watch_known()),
        put_route("/v1/watches/{id}", put(watches::put), schemas::watch()),
        delete_route("/v1/watches/{id}", delete(watches::delete), schemas::unwatch()),
        get_route("/v1/claims", get(list::claims), schemas::claims()),
        get_route("/v1/questions", get(list::questions), schemas::questions()),
        get_route("/v1/conflicts", get(list::conflicts), schemas::conflicts()),
        post_route("/v1/admin/backup", post(backups::backup), schemas::admin_backup()),
        get_route("/v1/admin/backup/status", get(backups::status), schemas::admin_backup_status()),
        post_route("/v1/admin/wal/archive", post(backups::archive), schemas::admin_archive()),
        get_route("/v1/admin/storage/stats", get(admin::stats::stats), schemas::storage_stats()),
        post_route("/v1/admin/storage/compact", post(admin::jobs::compact), schemas::compact()),
        post_route("/v1/admin/storage/verify", post(admin::jobs::verify), schemas::verify()),
        get_route("/v1/admin/jobs", get(admin::jobs::list), schemas::jobs()),
        get_route("/v1/admin/jobs/{id}", get(admin::jobs::get), schemas::job_known()),
        get_route("/v1/admin/slow-queries", get(admin::slow_queries::list), schemas::slow_queries()),
        get_route("/v1/admin/log-level", get(admin::log_level::get), schemas::log_level()),
        put_route("/v1/admin/log-level", put(admin::log_level::put), schemas::set_log_level()),
        get_route("/v1/admin/storage/events", get(events::events), schemas::events()),
        get_route("/v1/admin/server-key", get(read::server_key), schemas::server_key()),
        get_route("/v1/health", get(health::health), schemas::health()),
        get_route("/v1/admin/storage/scrub", get(storage::scrub), schemas::scrub()),
        post_route("/v1/admin/storage/scrub", post(storage::begin_scrub), schemas::begin_scrub()),
        get_route("/livez", get(health::livez), schemas::livez()),
        get_route("/readyz", get(health::readyz), schemas::readyz()),
        get_route("/metrics", get(health::metrics), schemas::metrics()),
        get_route("/openapi.json", get(openapi::serve), schemas::openapi()),
    ]
}

/// Method and path template of every route.
pub fn route_list() -> Vec<(&'static str, &'static str)> {
    table().into_iter().map(|route| (route.method, route.path)).collect()
}
