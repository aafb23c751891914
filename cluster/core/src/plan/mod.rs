//! Plans: what should be done, from facts that somebody else gathered.
//!
//! Every planner is a pure function: the same facts give the same plan on every machine, bounded, with its
//! reasons in it, so that each can be shown before it is carried out. A plan is made from facts that may be
//! old; whatever it proposes is judged again when its command is applied.

pub mod cache;
pub mod layout;
pub mod placement;
pub mod repair;
pub mod voters;
