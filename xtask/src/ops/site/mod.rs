//! The documentation as a site: `cargo xtask site`.
//!
//! ```text
//! docs/*.md ─ stage.rs ─▶ target/site-source ─ mdbook.rs ─▶ target/site ─ rendered.rs: links, anchors, nothing from elsewhere
//!   ├─ summary.rs: every page is in SUMMARY.md
//!   └─ llms.rs: docs/llms.txt is what the pages say
//! ```
//!
//! Pages are written for whoever reads them as files, on a code host or in an editor. For the site they are copied with links that lead
//! out of `docs/` turned to copies of what they lead to, so that the site is whole by itself.

pub mod llms;
mod mdbook;
mod rendered;
mod stage;
pub mod summary;

use std::{fs, path::Path};

use super::Depth;
use crate::{
    server,
    steps::{Outcome, seconds},
};

/// As a part of `cargo xtask ops`, the same at both depths: what is not built with every change is not built.
pub fn part(root: &Path, _: Depth) -> Outcome {
    build(root)
}

/// `cargo xtask site [--llms]`
pub fn run(root: &Path, words: &[&str]) -> Outcome {
    match words {
        [] => build(root),
        ["--llms"] => llms::write(root),
        other => Err(format!("unknown options {other:?}")),
    }
}

/// Builds the site into `target/site` and looks at every page of it.
fn build(root: &Path) -> Outcome {
    let mut wrong = summary::check(root)?;
    wrong.extend(llms::check(root)?);
    told(&wrong)?;
    let target = server::target(root);
    let (source, site) = (target.join("site-source"), target.join("site"));
    for folder in [&source, &site] {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
    }
    let staged = stage::stage(root, &source)?;
    let start = std::time::Instant::now();
    mdbook::build(root, &source, &site)?;
    let took = start.elapsed();
    staged.copy_sources(&site)?;
    let full = llms::full(root)?;
    fs::write(site.join("llms-full.txt"), &full).map_err(|error| error.to_string())?;
    let looked = rendered::check(&site, &staged.pages)?;
    told(&looked.wrong)?;
    println!(
        "{} pages in {}: {} links, {} images, scripts and styles; all pages can be searched; llms-full.txt has {} kB",
        staged.pages.len(),
        seconds(took),
        looked.links,
        looked.parts,
        full.len() / 1000
    );
    println!("{}", site.join("index.html").display());
    Ok(())
}

fn told(wrong: &[String]) -> Outcome {
    wrong.iter().for_each(|line| println!("{line}"));
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} things are wrong with the pages", wrong.len())) }
}
