//! Why a request does not count as signed, by what ECR answers (ECR specification §5; hostile inputs XS1 to XS14).
//!
//! The texts are AWS's where it has one. None of them repeats what the request said, but for its times.

use crate::sigv4::{AmzDate, MAX_EXPIRES};

/// Why a signature is not accepted. The status is always 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigV4Error {
    /// There is none; the request may have a credential of another kind. `MissingAuthenticationTokenException`.
    #[error("Missing Authentication Token")]
    Missing,
    /// There is one that cannot be read. `IncompleteSignatureException`.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// No key has such an id, no session such a token. `UnrecognizedClientException`, as for one that is not known.
    #[error("The security token included in the request is invalid.")]
    Unrecognized,
    /// It does not sign this request, here and now. `InvalidSignatureException`.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Why a signature cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// Another algorithm, or this one in other letters.
    #[error("Unsupported AWS 'algorithm': use AWS4-HMAC-SHA256.")]
    Algorithm,
    /// More than one Authorization header, or credentials in a header and in the query.
    #[error("A request is signed once, by its Authorization header or by its query.")]
    Twice,
    /// The header is longer than it can be, or not `Name=value, Name=value, …` of visible ASCII.
    #[error(
        "Authorization header must be AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…, each once."
    )]
    Header,
    /// The header lacks a part.
    #[error("Authorization header requires '{0}' parameter.")]
    Part(&'static str),
    /// The query lacks a parameter, or has it in a form that does not decode.
    #[error("AWS query-string parameters must include a valid '{0}'.")]
    Parameter(&'static str),
    /// Not 64 digits of lower-case hexadecimal.
    #[error("The signature must be 64 lower-case hexadecimal digits.")]
    Signature,
    /// Method, path, query or headers are too long, too many, or hold what they cannot.
    #[error("The request has a form or size that cannot be signed.")]
    Request,
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Somebody else's key, or the request was changed.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
         Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// Signed too long ago.
    #[error("Signature expired: {signed} is now earlier than {limit} ({now} - {minutes} min.)")]
    Expired {
        /// Until when it was meant: when it was signed, or when it ended if it says so itself.
        signed: AmzDate,
        /// The earliest that is taken.
        limit: AmzDate,
        /// Our clock.
        now: AmzDate,
        /// What lies between the two.
        minutes: u64,
    },
    /// Signed in the future.
    #[error("Signature not yet current: {signed} is still later than {limit} ({now} + {minutes} min.)")]
    NotYetCurrent {
        /// When it was signed.
        signed: AmzDate,
        /// The latest that is taken.
        limit: AmzDate,
        /// Our clock.
        now: AmzDate,
        /// What lies between the two.
        minutes: u64,
    },
    /// No date, two, or none of the calendar.
    #[error("'X-Amz-Date' must be sent once, in the form YYYYMMDD'T'HHMMSS'Z'.")]
    Date,
    /// The scope is of another day.
    #[error("Date in Credential scope does not match YYYYMMDD from 'X-Amz-Date'.")]
    ScopeDate,
    /// No scope.
    #[error("Credential must be scoped as keyid/date/region/service/aws4_request.")]
    Scope,
    /// How long a presigned request holds.
    #[error("X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES}.")]
    Expires,
    /// Not a list of header names.
    #[error("SignedHeaders must be lower-case header names, sorted, each once, without 'authorization'.")]
    SignedHeaders,
    /// The host is not signed.
    #[error("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")]
    Host,
    /// A header of AWS is not signed.
    #[error("Every 'x-amz-*' header must be a 'SignedHeader' in the AWS Authorization.")]
    Unsigned,
    /// A signed header is not there.
    #[error("A header of 'SignedHeaders' is not in the request.")]
    Absent,
    /// A header that decides something, twice.
    #[error("'Host' and every 'x-amz-*' header must be sent once.")]
    Repeated,
    /// A parameter that begins with `X-Amz-` and is none of the seven, or one of them twice.
    #[error("A query-string parameter 'X-Amz-*' is unknown, repeated or encoded.")]
    Parameter,
    /// The body is not the one of which the header speaks. Bodies are signed: neither `UNSIGNED-PAYLOAD` nor
    /// `STREAMING-*` is any body's hash.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    Body,
}
