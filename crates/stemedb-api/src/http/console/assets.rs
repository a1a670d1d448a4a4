//! The files of the console.

/// One file, as it lies in `assets/`.
#[derive(Debug)]
pub(super) struct Asset {
    pub name: &'static str,
    pub media_type: &'static str,
    pub bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("assets/", $name)) }
    };
}

/// Every file.
pub(super) static ASSETS: &[Asset] = &[
    asset!("index.html", HTML),
    asset!("icon.svg", SVG),
    asset!("base.css", CSS),
    asset!("answer.css", CSS),
    asset!("storage.css", CSS),
    asset!("main.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("place.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("values.js", SCRIPT),
    asset!("complete.js", SCRIPT),
    asset!("ask.js", SCRIPT),
    asset!("lenses.js", SCRIPT),
    asset!("bars.js", SCRIPT),
    asset!("line.js", SCRIPT),
    asset!("why.js", SCRIPT),
    asset!("moments.js", SCRIPT),
    asset!("difference.js", SCRIPT),
    asset!("take.js", SCRIPT),
    asset!("live.js", SCRIPT),
    asset!("contested.js", SCRIPT),
    asset!("storage.js", SCRIPT),
    asset!("panels.js", SCRIPT),
    asset!("metrics.js", SCRIPT),
];
