//! More questions than (subject, predicate): listings in pages, and the most contested questions.
//!
//! ```text
//! Listing ─┬ claim family, in its order ────────────────────────┐
//!          ├ by_predicate: questions ─▶ their claims ───────────┼─▶ Page { items, after: Mark }
//!          └ by_value, by_source, by_agent ─▶ one claim each ───┘
//! ConflictBoard ◀─ one scan, then the questions that entries touch
//! ```
//!
//! A [`Mark`] says where a page ended, in terms of keys alone. Keys are written once and carry their LSN, so a reader of
//! the same LSN goes on exactly there, whatever was written meanwhile, and nothing is kept open in between.

mod board;
mod claims;
mod listing;
mod page;
mod summaries;

pub use board::{
    BoardPage, BoardPlace, BoardProgress, ConflictBoard, Contested, Knowledge, MomentGone, Standing,
};
pub use listing::Listing;
pub use page::{Mark, Page, PageLimits};
pub use summaries::QuestionSummary;
