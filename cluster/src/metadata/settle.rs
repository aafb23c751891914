//! Waiting until every node has applied what was acknowledged: for a deletion, whose name no node may show any
//! more, though each reads content that is named by digest from its own state (consistency promises 8, 26).
//!
//! Deletions are rare and reads are not, so the deletion waits, and no read asks the leader. A node that cannot
//! be reached is not waited for: cut off from the leader it goes by what it knows, as promise 16 says.

use std::time::Duration;

use futures::future::join_all;
use proto::wire::raft as wire;

use super::Inner;
use super::call::{self, ReplyKind, RequestKind};
use crate::raft::transport::{Member, Service};

/// How long a node may take to catch up before it counts as cut off.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns when all nodes have applied what was acknowledged before the call, and which have not in time. Cancel safe.
pub(super) async fn settle(inner: &Inner) -> Vec<Member> {
    let own = inner.group.node;
    let others: Vec<Member> =
        inner.members.borrow().members.values().filter(|member| member.node != own).cloned().collect();
    let settled = join_all(others.iter().map(|member| caught_up(inner, member)));
    let (_, settled) = tokio::join!(inner.reads.confirm(), settled);
    others.into_iter().zip(settled).filter_map(|(member, settled)| (!settled).then_some(member)).collect()
}

async fn caught_up(inner: &Inner, member: &Member) -> bool {
    let request = call::request(RequestKind::CatchUp(wire::CatchUp {}));
    let reply = inner.group.link.call(member, Service::Metadata, request, PATIENCE).await;
    let kind = reply.ok().and_then(|bytes| call::read_reply(&bytes));
    matches!(kind, Some(ReplyKind::CaughtUp(_)))
}
