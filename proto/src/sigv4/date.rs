//! Times as SigV4 writes them.

use std::fmt;

use time::{Date, Duration, Month, OffsetDateTime, Time};

use crate::sigv4::Invalid;

/// `20260102T030405Z`: a second, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AmzDate(OffsetDateTime);

impl AmzDate {
    /// The second that `time` is in.
    pub fn of(time: OffsetDateTime) -> Self {
        let second = OffsetDateTime::from_unix_timestamp(time.unix_timestamp());
        Self(second.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// The day that a signature of that time is scoped to.
    pub fn day(self) -> Date {
        self.0.date()
    }

    /// The time.
    pub fn time(self) -> OffsetDateTime {
        self.0
    }

    /// So much later, or the end of all time.
    pub(super) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// So much earlier, or the beginning of all time.
    pub(super) fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }

    /// Exactly 16 characters; a second 60 there is none.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let read = || {
            let (day, rest) = text.split_once('T')?;
            let clock = rest.strip_suffix('Z').filter(|clock| clock.len() == 6)?;
            let part = |at: usize| number(clock.get(at..at + 2)?);
            let [hour, minute, second] = [part(0)?, part(2)?, part(4)?].map(u8::try_from);
            let time = Time::from_hms(hour.ok()?, minute.ok()?, second.ok()?).ok()?;
            Some(Self(OffsetDateTime::new_utc(parse_day(day)?, time)))
        };
        read().ok_or(Invalid::Date)
    }
}

impl fmt::Display for AmzDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = self.0.to_hms();
        write!(f, "{}T{hour:02}{minute:02}{second:02}Z", Day(self.day()))
    }
}

/// A day as scopes have it: `20260102`.
pub(super) struct Day(pub(super) Date);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        write!(f, "{year:04}{:02}{day:02}", u8::from(month))
    }
}

/// Reads a [`Day`].
pub(super) fn parse_day(text: &str) -> Option<Date> {
    let text = Some(text).filter(|text| text.len() == 8)?;
    let year = i32::from(number(text.get(..4)?)?);
    let month = u8::try_from(number(text.get(4..6)?)?).ok()?;
    let day = u8::try_from(number(text.get(6..)?)?).ok()?;
    Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()
}

/// Digits only, at most four.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_sixteen_characters_of_the_calendar() {
        for good in ["20260102T030405Z", "20240229T235959Z", "00010101T000000Z", "99991231T235959Z"] {
            assert_eq!(AmzDate::parse(good).map(|date| date.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "20260231T250000Z",
            "20260229T000000Z",
            "20260102T240000Z",
            "20260102T036005Z",
            "20260102T030460Z",
            "20261302T030405Z",
            "20260102t030405Z",
            "20260102T030405z",
            "20260102T030405",
            "20260102T0304055Z",
            "20260102T03040Z",
            "+2260102T030405Z",
            "2026010+T030405Z",
            "20260102T+10405Z",
            " 20260102T030405Z",
            "20260102T030405Z ",
            "2026-01-02T03:04:05Z",
            "2026010éT030405Z",
            "20260102T03é05Z",
            "99999999T999999Z",
        ] {
            assert_eq!(AmzDate::parse(bad), Err(Invalid::Date), "{bad:?}");
        }
    }

    #[test]
    fn time_ends_where_the_calendar_does() {
        let last = AmzDate::parse("99991231T235959Z").unwrap();
        assert_eq!(last.plus(Duration::MAX).to_string(), "99991231T235959Z");
        assert!(last.minus(Duration::MAX).minus(Duration::MAX) < last);
        let between = last.time() - Duration::milliseconds(1);
        assert_eq!(AmzDate::of(between).to_string(), "99991231T235958Z");
    }
}
