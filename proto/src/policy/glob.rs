//! The matcher of wildcards: bytes against a text, bounded whatever the pattern is (XP4 of the hostile inputs).

/// What a pattern's bytes use for `*`: no UTF-8 text contains it, so no text ever becomes a wildcard.
pub(super) const MANY: u8 = 0xff;
/// And for `?`.
pub(super) const ONE: u8 = 0xfe;

/// Whether `A` is `a`. Only ASCII has cases here: `K` (the Kelvin sign) is no `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Byte for byte.
    Sensitive,
    /// Letters of ASCII are equal in both cases.
    Insensitive,
}

/// The classic matcher with two places to return to: only the last `*` is ever tried again, and not once the text
/// was too short, since it gets no longer. So: at most one pass over the text for each of its places.
pub(super) fn glob(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let same = |a: u8, b: u8| match case {
        Case::Sensitive => a == b,
        Case::Insensitive => a.eq_ignore_ascii_case(&b),
    };
    let (mut at, mut read) = (0, 0);
    // Behind the last `*`, and where in the text what follows it was tried last.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(at), text.get(read)) {
            (Some(&MANY), _) => {
                at += 1;
                star = Some((at, read));
                if at == pattern.len() {
                    return true;
                }
            }
            (None, None) => return true,
            (Some(_), None) => return false,
            (Some(&ONE), Some(&lead)) => {
                at += 1;
                read += width(lead);
            }
            (Some(&wanted), Some(&byte)) if same(wanted, byte) => {
                at += 1;
                read += 1;
            }
            (_, Some(_)) => {
                let Some((behind, tried)) = star else { return false };
                let next = tried + text.get(tried).map_or(1, |lead| width(*lead));
                star = Some((behind, next));
                (at, read) = (behind, next);
            }
        }
    }
}

/// How many bytes a character has that begins so.
fn width(lead: u8) -> usize {
    match lead {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}
