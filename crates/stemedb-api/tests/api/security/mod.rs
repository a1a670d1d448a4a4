//! Who may do what, how much, and what is written down of it.

mod audit;
mod browsers;
mod keys;
mod limits;
mod matrix;
mod secrets;
mod setup;
