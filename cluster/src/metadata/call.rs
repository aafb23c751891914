//! Requests and replies of the protocol `metadata` to and from the messages of `proto/wire/raft.proto`.

use cluster_core::command::Response;
use prost::Message;
use proto::wire::raft as wire;
use wire::answer::Kind as AnswerKind;
pub(super) use wire::metadata_reply::Kind as ReplyKind;
pub(super) use wire::metadata_request::Kind as RequestKind;

use super::Unavailable;
use super::propose::{Answer, Committed, ProposeError};
use crate::raft::transport::MAX_MESSAGE_BYTES;

/// Of requests of this release.
const VERSION: u32 = 1;

/// The bytes of a request.
pub(super) fn request(kind: RequestKind) -> Vec<u8> {
    wire::MetadataRequest { version: VERSION, kind: Some(kind) }.encode_to_vec()
}

/// The bytes of a reply.
pub(super) fn reply(kind: ReplyKind) -> Vec<u8> {
    wire::MetadataReply { kind: Some(kind) }.encode_to_vec()
}

/// Reads a request; what is wrong with it otherwise.
pub(super) fn read_request(bytes: &[u8]) -> Result<RequestKind, &'static str> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err("the request is too large");
    }
    let request = wire::MetadataRequest::decode(bytes).map_err(|_| "the request does not decode")?;
    if request.version != VERSION {
        return Err("the request has a version that this release does not know");
    }
    request.kind.ok_or("the request is of a kind that this release does not know")
}

/// Reads a reply; `None` if it is none.
pub(super) fn read_reply(bytes: &[u8]) -> Option<ReplyKind> {
    wire::MetadataReply::decode(bytes).ok()?.kind
}

pub(super) fn answer_to_wire(answer: Answer) -> wire::Answer {
    let nothing = wire::Nothing {};
    match answer {
        Ok(Committed { index, response: None }) => {
            wire::Answer { index, kind: Some(AnswerKind::Ticked(nothing)) }
        }
        Ok(Committed { index, response: Some(response) }) => {
            let kind = Some(AnswerKind::Response(response.encode()));
            wire::Answer { index, kind }
        }
        Err(error) => {
            let failure = AnswerKind::Failure(failure_to_wire(&error).into());
            wire::Answer { index: 0, kind: Some(failure) }
        }
    }
}

/// What makes no sense may have been done.
pub(super) fn answer_from_wire(answer: wire::Answer) -> Answer {
    let unknown = ProposeError::Unavailable(Unavailable::TimedOut);
    let index = answer.index;
    match answer.kind {
        Some(AnswerKind::Ticked(_)) => Ok(Committed { index, response: None }),
        Some(AnswerKind::Response(response)) => {
            let response = Response::decode(&response).ok_or(unknown)?;
            Ok(Committed { index, response: Some(response) })
        }
        Some(AnswerKind::Failure(failure)) => Err(failure_from_wire(failure)),
        None => Err(unknown),
    }
}

fn failure_to_wire(error: &ProposeError) -> wire::Failure {
    match error {
        // What waits in the queue when this node stops was not written.
        ProposeError::Unavailable(Unavailable::NoLeader | Unavailable::Stopping) => wire::Failure::NoLeader,
        ProposeError::Unavailable(Unavailable::Overloaded) => wire::Failure::Overloaded,
        ProposeError::Unavailable(Unavailable::TimedOut) | ProposeError::StorageFailed(_) => {
            wire::Failure::Unknown
        }
        ProposeError::TooLarge => wire::Failure::TooLarge,
        ProposeError::Full => wire::Failure::Full,
        ProposeError::ClockInvalid => wire::Failure::ClockInvalid,
    }
}

fn failure_from_wire(failure: i32) -> ProposeError {
    match wire::Failure::try_from(failure) {
        Ok(wire::Failure::NoLeader) => ProposeError::Unavailable(Unavailable::NoLeader),
        Ok(wire::Failure::Overloaded) => ProposeError::Unavailable(Unavailable::Overloaded),
        Ok(wire::Failure::TooLarge) => ProposeError::TooLarge,
        Ok(wire::Failure::Full) => ProposeError::Full,
        Ok(wire::Failure::ClockInvalid) => ProposeError::ClockInvalid,
        Ok(wire::Failure::Unknown | wire::Failure::Unspecified) | Err(_) => {
            ProposeError::Unavailable(Unavailable::TimedOut)
        }
    }
}
