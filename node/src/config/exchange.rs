//! What this node gives to others of its blobs: how fast and how many at once, by how near they are.

use std::num::NonZeroU64;
use std::str::FromStr;

use peer::exchange::{Limits, RATE_MIN};

use super::settings::{Size, parse};
use super::source::Values;

/// Most answers at once over one class of links: each holds a leaf in memory and a stream.
const MAX_SLOTS: usize = 1024;

/// What other nodes get of this node's blobs. Each class of links has a rate and a number of answers at once.
pub(super) fn resolve(values: &Values, mistakes: &mut Vec<String>) -> Option<Limits> {
    let defaults = Limits::default();
    let rates = ["site_rate", "region_rate", "wide_area_rate"].map(|name| {
        let wanted = "bytes a second such as 10MiB, 64KiB or more, or unlimited,";
        parse::<Rate>(values, name, "unlimited", wanted, mistakes).map(|rate| rate.0)
    });
    let names = ["site_slots", "region_slots", "wide_area_slots"];
    let answers = std::array::from_fn(|class| {
        let wanted = format!("a number from 1 to {MAX_SLOTS}");
        let default = defaults.answers[class].to_string();
        parse::<Slots>(values, names[class], &default, &wanted, mistakes).map(|slots| slots.0)
    });
    let ([Some(site), Some(region), Some(wide)], [Some(site_slots), Some(region_slots), Some(wide_slots)]) =
        (rates, answers)
    else {
        return None;
    };
    let (rates, answers) = ([site, region, wide], [site_slots, region_slots, wide_slots]);
    Some(Limits { rates, answers, ..defaults })
}

/// Bytes a second, or as many as go.
struct Rate(Option<NonZeroU64>);

impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "unlimited" {
            return Ok(Self(None));
        }
        let Size(rate) = text.parse()?;
        NonZeroU64::new(rate).filter(|rate| rate.get() >= RATE_MIN).map(|rate| Self(Some(rate))).ok_or(())
    }
}

/// Answers at once.
struct Slots(usize);

impl FromStr for Slots {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let slots = text.parse().map_err(|_| ())?;
        (1..=MAX_SLOTS).contains(&slots).then_some(Self(slots)).ok_or(())
    }
}
