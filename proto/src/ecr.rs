//! Amazon ECR's JSON 1.1 API as data: operations, shapes, constraints, errors (ECR specification §1-§5, §17).
//!
//! Owns one table per service, `ecr/ecr.model` and `ecr/ecr-public.model`, and all that follows from them:
//! [`Model::check`] reads a request and refuses what AWS would, [`Model::check_output`] holds an answer against the
//! table, [`Failure`] is what a client is told, [`Output`] writes what it gets, [`PageToken`] says where its next page
//! begins. What an operation does is decided elsewhere; nothing here knows HTTP, a clock or a repository.
//!
//! Handlers get an [`Input`] that is asked by member, `input.text("repositoryName")`, not a structure of their own
//! each: 85 operations would take some thousand lines that repeat the table, and what a member may hold is checked
//! already. A name that the operation does not have is a programming error, found by the first debug build that
//! runs the line.
//!
//! Bounds: a body by [`Model::body_limit`], its nesting by [`MAX_DEPTH`], a list without a size of its own by
//! [`MAX_ITEMS`]. Patterns match in time linear in the text. Strings and blobs are read where they stand in the body;
//! the one copy of a blob is its decoded form.

mod check;
mod exception;
mod failure;
mod input;
mod model;
mod operation;
mod output;
mod read;
mod table;
mod token;

#[cfg(test)]
#[path = "ecr/cases_test.rs"]
mod cases;

pub use check::{LARGE_BODY, MAX_DEPTH, SMALL_BODY};
pub use exception::Exception;
pub use failure::{Failure, ImageName};
pub use input::Input;
pub use model::{MAX_ITEMS, MAX_MATCHED, Model};
pub use operation::{Name, Operation, Service};
pub use output::Output;
pub use token::PageToken;

/// An enum of names that the wire spells as the code does, but for a suffix; names in the order of their list.
macro_rules! names {
    ($(#[$doc:meta])* $enum:ident, suffix $suffix:literal: $($name:ident)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $enum {
            $(#[doc = concat!("`", stringify!($name), $suffix, "`")] $name,)*
        }

        impl $enum {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As it is written on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!(stringify!($name), $suffix),)*
                }
            }

            /// The one that is written so on the wire.
            pub fn from_wire(text: &str) -> Option<Self> {
                match text {
                    $(concat!(stringify!($name), $suffix) => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
use names;
