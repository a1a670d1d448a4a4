//! The rendered pages: every link leads somewhere, nothing is fetched from elsewhere, and the search knows every page.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What was looked at, and what is wrong with it.
#[derive(Default)]
pub struct Looked {
    /// Links between pages.
    pub links: usize,
    /// Images, scripts, styles, fonts.
    pub parts: usize,
    pub wrong: Vec<String>,
}

/// A page, as far as links are concerned.
#[derive(Default)]
struct Page {
    /// What can be jumped to.
    ids: BTreeSet<String>,
    /// Links that a reader may follow.
    links: Vec<String>,
    /// What a browser fetches by itself.
    parts: Vec<String>,
}

/// Looks at all files of a site that must have these pages (as `a/b.md`).
pub fn check(site: &Path, pages: &[String]) -> Result<Looked, String> {
    let site = &fs::canonicalize(site).map_err(|error| format!("{}: {error}", site.display()))?;
    let mut looked = Looked::default();
    let mut read: BTreeMap<PathBuf, Page> = BTreeMap::new();
    let mut index = String::new();
    for path in files(site) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let end = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if !matches!(end.as_str(), "html" | "css" | "js") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        match end.as_str() {
            "html" => drop(read.insert(path, page(&text))),
            "css" => {
                let from_elsewhere = fetched_by_styles(&text);
                looked.wrong.extend(from_elsewhere.iter().map(|url| format!("{name}: fetches {url}")));
            }
            _ if name.starts_with("searchindex") => index.push_str(&text),
            _ => {}
        }
    }
    for (path, page) in &read {
        let place = path.strip_prefix(site).unwrap_or(path).display().to_string();
        for url in &page.parts {
            looked.parts += 1;
            if is_elsewhere(url) {
                looked.wrong.push(format!("{place}: fetches {url}"));
            } else if let Err(error) = find(site, path, url, &read) {
                looked.wrong.push(format!("{place}: {url}: {error}"));
            }
        }
        for url in page.links.iter().filter(|url| !is_elsewhere(url)) {
            looked.links += 1;
            if let Err(error) = find(site, path, url, &read) {
                looked.wrong.push(format!("{place}: {url}: {error}"));
            }
        }
    }
    for page in pages {
        let html = rendered(page);
        if !site.join(&html).is_file() {
            looked.wrong.push(format!("{page} has not become {html}"));
        } else if !index.contains(&format!("\"{html}#")) {
            looked.wrong.push(format!("the search does not know {html}"));
        }
    }
    Ok(looked)
}

/// The name of a page's rendered form.
fn rendered(page: &str) -> String {
    match page.strip_suffix("README.md") {
        Some(folder) => format!("{folder}index.html"),
        None => format!("{}.html", page.trim_end_matches(".md")),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn is_elsewhere(url: &str) -> bool {
    url.contains("://") || url.starts_with("//") || url.starts_with("mailto:")
}

/// Whether a relative address leads to a file, and to a place in it.
fn find(site: &Path, from: &Path, url: &str, pages: &BTreeMap<PathBuf, Page>) -> Result<(), String> {
    if url.starts_with("data:") || url.starts_with("javascript:") {
        return Ok(());
    }
    if url.starts_with('/') {
        return Err("it leads to the root of a host, where the site may not be".to_owned());
    }
    let (file, anchor) = url.split_once('#').unwrap_or((url, ""));
    let file = file.split('?').next().unwrap_or_default();
    let folder = from.parent().unwrap_or(site);
    let path = if file.is_empty() { from.to_path_buf() } else { folder.join(decoded(file)) };
    let path = fs::canonicalize(&path).map_err(|_| "no such file".to_owned())?;
    let path = if path.is_dir() { path.join("index.html") } else { path };
    if !path.is_file() {
        return Err("no such page".to_owned());
    }
    if anchor.is_empty() {
        return Ok(());
    }
    match pages.get(&path) {
        Some(page) if page.ids.contains(&decoded(anchor)) => Ok(()),
        Some(_) => Err("no such place on that page".to_owned()),
        None => Err("an anchor of what is no page".to_owned()),
    }
}

/// `%41` is an A.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = more.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match code.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads the tags of a page; what stands in scripts, styles and comments is none.
fn page(html: &str) -> Page {
    let mut page = Page::default();
    let mut rest = html;
    while let Some((_, behind)) = rest.split_once('<') {
        if let Some(comment) = behind.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, more)| more);
            continue;
        }
        let Some(end) = end_of_tag(behind) else { break };
        let (tag, more) = behind.split_at(end);
        let name: String =
            tag.chars().take_while(|c| c.is_ascii_alphanumeric()).collect::<String>().to_lowercase();
        for (attribute, value) in attributes(&tag[name.len()..]) {
            match (name.as_str(), attribute.as_str()) {
                (_, "id") => drop(page.ids.insert(value)),
                ("a" | "area", "href") => page.links.push(value),
                (_, "src" | "href" | "data" | "poster") => page.parts.push(value),
                (_, "srcset") => page.parts.extend(
                    value.split(',').filter_map(|part| Some(part.split_whitespace().next()?.to_owned())),
                ),
                _ => {}
            }
        }
        rest = match name.as_str() {
            "script" | "style" => {
                let closing = format!("</{name}");
                more.find(&closing).map_or("", |at| &more[at..])
            }
            _ => more,
        };
    }
    page
}

/// Where a tag ends; a `>` in quotes does not end it.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// Names and values; those without quotes or without a value are left out.
fn attributes(tag: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = tag;
    while let Some((before, behind)) = rest.split_once('=') {
        let name = before.split_whitespace().next_back().unwrap_or_default().to_lowercase();
        let behind = behind.trim_start();
        let Some(quote) = behind.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            rest = behind;
            continue;
        };
        let Some((value, more)) = behind[1..].split_once(quote) else { break };
        let value = value.replace("&amp;", "&").replace("&quot;", "\"").replace("&#39;", "'");
        found.push((name, value));
        rest = more;
    }
    found
}

/// Addresses elsewhere that a style sheet makes a browser fetch.
fn fetched_by_styles(text: &str) -> Vec<String> {
    let after = |begin: &'static str| text.split(begin).skip(1);
    let urls = after("url(").chain(after("@import"));
    urls.filter_map(|rest| {
        let url = rest.trim_start_matches([' ', '"', '\'']).split([')', '"', '\'', ';']).next()?;
        is_elsewhere(url).then(|| url.to_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_what_is_fetched_are_told_apart() {
        let html = "<!-- <a href=\"no\"> --><link rel=x href=\"a.css\"><a href='b.html#c' title=\"x > y\">b</a>\
                    <script>if (a < b) { x = '<a href=\"no\">' }</script><img src=\"https://e/d.png\"><h1 id=\"top\">";
        let page = page(html);
        assert_eq!(page.links, ["b.html#c"]);
        assert_eq!(page.parts, ["a.css", "https://e/d.png"]);
        assert!(page.ids.contains("top"));
        assert_eq!(
            fetched_by_styles("a{b:url('//e/f')} @import \"https://x/y\"; c{d:url(g.woff)}"),
            ["//e/f", "https://x/y"]
        );
    }

    #[test]
    fn a_page_is_wrong_if_a_link_leads_nowhere() {
        let site = std::env::temp_dir().join(format!("stemedb-xtask-rendered-{}", std::process::id()));
        fs::create_dir_all(site.join("a")).unwrap();
        let write = |name: &str, text: &str| fs::write(site.join(name), text).unwrap();
        write(
            "index.html",
            "<a href=\"a/b.html#x\">1</a><a href=\"a/b.html#y\">2</a><a href=\"c.html\">3</a><img src=\"//e/f\">",
        );
        write("a/b.html", "<h1 id=\"x\"></h1><a href=\"../index.html\">up</a>");
        write("searchindex.js", "[\"a/b.html#x\"]");
        let looked = check(&site, &["README.md".to_owned(), "a/b.md".to_owned(), "d.md".to_owned()]).unwrap();
        fs::remove_dir_all(&site).unwrap();
        assert_eq!(
            looked.wrong,
            [
                "index.html: fetches //e/f",
                "index.html: a/b.html#y: no such place on that page",
                "index.html: c.html: no such file",
                "the search does not know index.html",
                "d.md has not become d.html"
            ]
        );
        assert_eq!((looked.links, looked.parts), (4, 1));
    }
}
