//! Why a text is no lifecycle policy. Where ECR is known to have words for it, these are the words.

use crate::lifecycle::{MAX_LIFECYCLE_POLICY, MAX_NUMBER, MAX_WILDCARDS, MIN_ARCHIVED_DAYS};

/// Why a text is no lifecycle policy: what follows `Lifecycle policy validation failure: ` in ECR's answer (ECR
/// specification §5, §7.5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LifecyclePolicyError {
    /// More than [`MAX_LIFECYCLE_POLICY`] characters.
    #[error("a lifecycle policy may have at most {MAX_LIFECYCLE_POLICY} characters")]
    TooLong,
    /// Not strict JSON, no object, or nested deeper than policies are.
    #[error("Could not map policyString into LifecyclePolicy.")]
    Json,
    /// Members that must be there.
    #[error("object has missing required properties ({})", list(.0))]
    Missing(Vec<&'static str>),
    /// A member that there is not.
    #[error("object instance has properties which are not allowed by the schema: ([{0:?}])")]
    Member(String),
    /// A value of another type.
    #[error("instance type ({found}) does not match any allowed primitive type (allowed: [{allowed:?}])")]
    Type {
        /// What it is.
        found: &'static str,
        /// What it must be.
        allowed: &'static str,
    },
    /// A text that is none of those possible.
    #[error("instance value ({found}) not found in enum :(possible values: {})", list(.possible))]
    Enum {
        /// The text, or its beginning.
        found: String,
        /// All that there are.
        possible: &'static [&'static str],
    },
    /// A number below 1.
    #[error("numeric instance is lower than the required minimum (minimum: 1, found: {0})")]
    Low(i64),
    /// A number above [`MAX_NUMBER`].
    #[error("numeric instance is greater than the required maximum (maximum: {MAX_NUMBER}, found: {0})")]
    High(u64),
    /// A list without entries.
    #[error("array is too short: must have at least 1 elements but instance has 0 elements")]
    Empty,
    /// Too many rules.
    #[error("array is too long: must have at most {max} elements but instance has {0} elements", max = super::MAX_RULES)]
    Rules(usize),
    /// A selection or an action whose members do not go together.
    #[error("instance failed to match exactly one schema (matched 0 out of 4)")]
    Shape,
    /// Tagged images without saying by which tags.
    #[error("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.")]
    NoTags,
    /// Patterns and prefixes in one rule.
    #[error("tagPatternList and tagPrefixList exclude each other")]
    BothLists,
    /// Patterns or prefixes in a rule about untagged or all images.
    #[error("tagPatternList and tagPrefixList need tagStatus=TAGGED")]
    NotTagged,
    /// An entry of a list of tags is empty: as a prefix it would select every tag.
    #[error("a pattern or prefix of tags must not be empty")]
    EmptyText,
    /// Too many `*` in a pattern.
    #[error("a tag pattern may have at most {MAX_WILDCARDS} wildcards")]
    Wildcards,
    /// Images that are not pulled can be archived only.
    #[error("countType=sinceImagePulled needs an action of type transition")]
    PulledExpire,
    /// Images that are archived can be expired only.
    #[error("countType=sinceImageTransitioned needs an action of type expire")]
    TransitionedTransition,
    /// Only archived images were moved there.
    #[error("countType=sinceImageTransitioned needs storageClass=archive")]
    TransitionedClass,
    /// Archived images stay for a while.
    #[error("countType=sinceImageTransitioned needs a countNumber of at least {MIN_ARCHIVED_DAYS}")]
    TransitionedDays,
    /// Two rules of one priority.
    #[error("two rules have the rulePriority {0}")]
    SamePriority(u32),
    /// A rule about all images of a class is followed by another one of that class.
    #[error("Rule for tagStatus=ANY must have the lowest priority per storage class")]
    AnyNotLast,
    /// Two rules about the untagged images of a class.
    #[error("Only one rule can select Untagged images per storage class")]
    TwoUntagged,
    /// Two rules about the same tags in a class.
    #[error("two rules of one storage class have the same tagPatternList or tagPrefixList")]
    SameTags,
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", names.join(", "))
}
