//! Lifecycle policies: which images of a repository expire or are archived, as documents.
//!
//! Owns the grammar of Amazon ECR's policies, what goes together and which tags are meant (ECR specification §7.1, §7.2,
//! §7.5), as types that are always valid; `read` makes them. The text itself is stored as it came; nothing here writes
//! it back. What a policy does to the images of a repository is decided elsewhere.
//!
//! Bounds: [`MAX_LIFECYCLE_POLICY`] characters and [`MAX_RULES`] rules.

mod error;
mod pattern;
mod read;
mod together;

pub use error::LifecyclePolicyError;
pub use pattern::{TagPattern, TagPrefix};

/// Longest policy text in characters (ECR API, LifecyclePolicyText). The API's shortest, 100, needs no check: no policy
/// is as short.
pub const MAX_LIFECYCLE_POLICY: usize = 30_720;
/// Most rules of a policy.
pub const MAX_RULES: usize = 50;
/// Most `*` in a pattern.
pub const MAX_WILDCARDS: usize = 4;
/// Days that an image is archived at least before a rule may expire it (§6.5).
pub const MIN_ARCHIVED_DAYS: u32 = 90;
/// Highest priority and count: the API's integers have 32 bits with a sign.
pub const MAX_NUMBER: u32 = i32::MAX.unsigned_abs();

/// A lifecycle policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecyclePolicy {
    rules: Vec<Rule>,
}

impl LifecyclePolicy {
    /// At least one, by ascending priority: in the order in which they are applied.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

/// What happens to some of the images that it selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The lower, the earlier it is applied; from 1, and no other rule of the policy has it.
    pub priority: u32,
    /// For people.
    pub description: Option<String>,
    /// Which images.
    pub selection: Selection,
    /// What happens to them.
    pub action: Action,
}

/// Which images a rule is about, and which of them it acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Those with these tags,
    pub tags: TagStatus,
    /// in this class.
    pub class: StorageClass,
    /// It acts on these of them.
    pub count: Count,
}

/// By which tags images are selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagStatus {
    /// Each of these, at least one, matches at least one of the image's tags; not all the same tag (§7.2).
    Patterns(Vec<TagPattern>),
    /// As with patterns.
    Prefixes(Vec<TagPrefix>),
    /// Images without tags.
    Untagged,
    /// All images.
    Any,
}

/// Where the images are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StorageClass {
    /// They can be pulled.
    #[default]
    Standard,
    /// They are archived.
    Archive,
}

/// On which of the selected images a rule acts. All numbers are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// All but so many that were pushed last.
    ImagesMoreThan(u32),
    /// Those pushed more than so many days ago.
    DaysSincePushed(u32),
    /// Those not pulled for so many days. The action is [`Action::Archive`].
    DaysSincePulled(u32),
    /// Those archived more than so many days ago, at least [`MIN_ARCHIVED_DAYS`]. The class is
    /// [`StorageClass::Archive`], which no other count has, and the action [`Action::Expire`].
    DaysSinceTransitioned(u32),
}

/// What happens to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is deleted.
    Expire,
    /// It is archived: a transition, for which there is no other target.
    Archive,
}

#[cfg(test)]
#[path = "lifecycle_test.rs"]
mod tests;
