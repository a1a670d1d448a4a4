//! Horizontal bars in panels, as an SVG file without any dependency.
//!
//! Every panel has its own scale, which runs from 0 to the longest bar. Bars of limits do not stretch it: one that is far
//! longer than everything else is cut, with a gap to show it.

use std::fmt::{self, Write};

/// A drawing.
#[derive(Clone, Debug)]
pub struct Chart {
    /// First line.
    pub title: String,
    /// Second line.
    pub subtitle: String,
    /// What the bars of [`Tone::Limit`] are.
    pub limits: &'static str,
    /// Lines below.
    pub footer: Vec<String>,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

/// Bars that are compared with each other.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What they have in common.
    pub title: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// To its left.
    pub label: String,
    /// Its length.
    pub value: f64,
    /// Ends of its whisker.
    pub range: (f64, f64),
    /// Its colour.
    pub tone: Tone,
    /// To its right.
    pub note: String,
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// StemeDB.
    Ours,
    /// Another engine.
    Peer,
    /// A bound.
    Limit,
}

impl Tone {
    const ALL: [Tone; 3] = [Tone::Ours, Tone::Peer, Tone::Limit];

    fn fill(self) -> &'static str {
        match self {
            Tone::Ours => "#1f6f8b",
            Tone::Peer => "#9fb0bd",
            Tone::Limit => "#ece4d4",
        }
    }

    fn edge(self) -> &'static str {
        match self {
            Tone::Ours => "#155468",
            Tone::Peer => "#7d909e",
            Tone::Limit => "#b9a988",
        }
    }
}

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 28.0;
const LABEL_WIDTH: f64 = 128.0;
/// Right of the longest bar, for its note.
const NOTE_WIDTH: f64 = 250.0;
const BAR_HEIGHT: f64 = 18.0;
const BAR_STEP: f64 = 25.0;
const HEAD_HEIGHT: f64 = 112.0;
const PANEL_HEAD: f64 = 30.0;
const PANEL_GAP: f64 = 22.0;
const LINE_HEIGHT: f64 = 17.0;
/// A limit may stretch the scale by so much before it is cut.
const STRETCH: f64 = 1.3;
const BARS_LEFT: f64 = MARGIN + LABEL_WIDTH;
const BARS_WIDTH: f64 = WIDTH - MARGIN - LABEL_WIDTH - MARGIN - NOTE_WIDTH;

impl Chart {
    /// The drawing as the text of an SVG file.
    pub fn draw(&self) -> String {
        let mut svg = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut svg);
        svg
    }

    fn write(&self, svg: &mut String) -> fmt::Result {
        let panels: f64 = self.panels.iter().map(Panel::height).sum();
        let height = HEAD_HEIGHT + panels + LINE_HEIGHT * self.footer.len() as f64 + MARGIN;
        writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif">"#
        )?;
        writeln!(svg, r##"<rect width="{WIDTH}" height="{height}" fill="#fcfcfa"/>"##)?;
        text(svg, (MARGIN, 38.0), r##"font-size="21" font-weight="600" fill="#1d2a33""##, &self.title)?;
        text(svg, (MARGIN, 60.0), r##"font-size="13" fill="#54626c""##, &self.subtitle)?;
        let mut left = MARGIN;
        for tone in Tone::ALL {
            let (fill, edge) = (tone.fill(), tone.edge());
            writeln!(
                svg,
                r#"<rect x="{left}" y="75" width="13" height="13" fill="{fill}" stroke="{edge}"/>"#
            )?;
            let meaning = match tone {
                Tone::Ours => "StemeDB",
                Tone::Peer => "peers",
                Tone::Limit => self.limits,
            };
            text(svg, (left + 19.0, 86.0), r##"font-size="12.5" fill="#2d3a43""##, meaning)?;
            left += 45.0 + 7.0 * meaning.len() as f64;
        }
        let mut top = HEAD_HEIGHT;
        for panel in &self.panels {
            panel.write(svg, top)?;
            top += panel.height();
        }
        for line in &self.footer {
            text(svg, (MARGIN, top + 8.0), r##"font-size="11.5" fill="#6b7882""##, line)?;
            top += LINE_HEIGHT;
        }
        writeln!(svg, "</svg>")
    }
}

impl Panel {
    fn height(&self) -> f64 {
        PANEL_HEAD + BAR_STEP * self.bars.len() as f64 + PANEL_GAP
    }

    /// The value at the right end.
    fn scale(&self) -> f64 {
        let longest = |limits: bool| {
            let bars = self.bars.iter().filter(|bar| (bar.tone == Tone::Limit) == limits);
            bars.map(|bar| bar.range.1.max(bar.value)).fold(0.0, f64::max)
        };
        let (measured, limits) = (longest(false), longest(true));
        if measured == 0.0 {
            return limits.max(1.0);
        }
        let near = self.bars.iter().filter(|bar| bar.tone == Tone::Limit && bar.value <= measured * STRETCH);
        near.map(|bar| bar.range.1.min(measured * STRETCH)).fold(measured, f64::max)
    }

    fn write(&self, svg: &mut String, top: f64) -> fmt::Result {
        text(svg, (MARGIN, top + 14.0), r##"font-size="15" font-weight="600" fill="#1d2a33""##, &self.title)?;
        let scale = self.scale();
        let bars_top = top + PANEL_HEAD - 4.0;
        let bottom = bars_top + BAR_STEP * self.bars.len() as f64;
        writeln!(
            svg,
            r##"<line x1="{BARS_LEFT}" y1="{bars_top:.1}" x2="{BARS_LEFT}" y2="{bottom:.1}" stroke="#c9d0d5"/>"##
        )?;
        for (at, bar) in self.bars.iter().enumerate() {
            bar.write(svg, bars_top + BAR_STEP * at as f64 + (BAR_STEP - BAR_HEIGHT) / 2.0, scale)?;
        }
        Ok(())
    }
}

impl Bar {
    fn write(&self, svg: &mut String, top: f64, scale: f64) -> fmt::Result {
        let cut = self.value > scale;
        let x = |value: f64| BARS_LEFT + (value / scale).clamp(0.0, 1.0) * BARS_WIDTH;
        let (end, middle, baseline) = (x(self.value), top + BAR_HEIGHT / 2.0, top + BAR_HEIGHT - 4.5);
        let (fill, edge) = (self.tone.fill(), self.tone.edge());
        let weight = if self.tone == Tone::Ours { "600" } else { "400" };
        text(
            svg,
            (BARS_LEFT - 8.0, baseline),
            &format!(r##"font-size="13" font-weight="{weight}" text-anchor="end" fill="#2d3a43""##),
            &self.label,
        )?;
        writeln!(
            svg,
            r#"<rect x="{BARS_LEFT}" y="{top:.1}" width="{:.1}" height="{BAR_HEIGHT}" fill="{fill}" stroke="{edge}" stroke-width="0.8"/>"#,
            end - BARS_LEFT
        )?;
        let mut note_left = end;
        if cut {
            // Two slanted strokes in the colour of the ground: the bar goes on.
            for gap in [26.0, 18.0] {
                let (low, high) = (end - gap, end - gap + 6.0);
                writeln!(
                    svg,
                    r##"<line x1="{low:.1}" y1="{:.1}" x2="{high:.1}" y2="{:.1}" stroke="#fcfcfa" stroke-width="3"/>"##,
                    top + BAR_HEIGHT + 2.0,
                    top - 2.0
                )?;
            }
        } else if self.range.1 > self.range.0 {
            let (low, high) = (x(self.range.0), x(self.range.1));
            let (upper, lower) = (middle - 4.0, middle + 4.0);
            // Twice: light and wide below, so that the dark line shows on a dark bar as well.
            for (colour, width) in [("#fcfcfa", 3.2), ("#20303a", 1.2)] {
                writeln!(
                    svg,
                    r#"<path d="M{low:.1} {middle:.1}H{high:.1}M{low:.1} {upper:.1}V{lower:.1}M{high:.1} {upper:.1}V{lower:.1}" stroke="{colour}" stroke-width="{width}" fill="none"/>"#
                )?;
            }
            note_left = note_left.max(high);
        }
        text(
            svg,
            (note_left + 8.0, baseline),
            &format!(r##"font-size="12.5" font-weight="{weight}" fill="#2d3a43""##),
            &self.note,
        )
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), style: &str, content: &str) -> fmt::Result {
    let escaped = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" {style}>{escaped}</text>"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(tone: Tone, value: f64) -> Bar {
        Bar { label: "a<b".to_owned(), value, range: (value, value), tone, note: "n & m".to_owned() }
    }

    #[test]
    fn a_limit_far_off_is_cut_and_a_near_one_is_not() {
        let far = Panel { title: String::new(), bars: vec![bar(Tone::Ours, 10.0), bar(Tone::Limit, 100.0)] };
        assert_eq!(far.scale(), 10.0);
        let near = Panel { title: String::new(), bars: vec![bar(Tone::Ours, 10.0), bar(Tone::Limit, 12.0)] };
        assert_eq!(near.scale(), 12.0);
        let alone = Panel { title: String::new(), bars: vec![bar(Tone::Limit, 12.0)] };
        assert_eq!(alone.scale(), 12.0);
    }

    #[test]
    fn texts_are_escaped() {
        let panels = vec![Panel { title: "p".to_owned(), bars: vec![bar(Tone::Peer, 1.0)] }];
        let (title, subtitle) = ("t".to_owned(), "s".to_owned());
        let chart = Chart { title, subtitle, limits: "l", footer: Vec::new(), panels };
        let svg = chart.draw();
        assert!(svg.contains("a&lt;b") && svg.contains("n &amp; m"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
