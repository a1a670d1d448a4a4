//! What proves the memtable: a model, and every order in which a writer and readers may meet.

#[cfg(shuttle)]
mod interleavings;
#[cfg(not(shuttle))]
mod model;
