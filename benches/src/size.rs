//! Byte counts on the command line: `512`, `10KiB`, `64MiB`, `1GiB`.
//!
//! Owns the parser; pure.

/// Bytes in one GiB, the unit that costs are given for.
pub const GIB: u64 = 1 << 30;
/// Bytes in one MiB, the unit that rates are given in.
pub const MIB: u64 = 1 << 20;

/// Reads a byte count with an optional binary unit.
///
/// # Errors
/// A text for the user when the number or the unit is wrong or the count exceeds 64 bits.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => MIB,
        "GiB" => GIB,
        _ => return Err(format!("unknown unit {unit:?}: use KiB, MiB or GiB")),
    };
    let number: u64 = number.parse().map_err(|_| format!("not a number of bytes: {text:?}"))?;
    number.checked_mul(scale).ok_or_else(|| "too many bytes".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_two() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("10KiB"), Ok(10_240));
        assert_eq!(parse_size("1GiB"), Ok(1_073_741_824));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "GiB", "1GB", "-1", "1.5GiB", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text:?} was accepted");
        }
    }
}
