//! Exhaustive model of pushing, deleting and collecting one blob: rules R1 to R7 of the consistency
//! specification, its experiment E21.
//!
//! What the log does is the production code (`state::apply` on a map in memory, remembered per state and
//! command, which is sound because apply is a pure function). The model adds what surrounds it: clients that
//! upload, stop anywhere and whose proposals arrive late or twice; homes that follow the log with any lag and
//! unlink late; a collector with old plans; one lost disk with repair. Every reachable state is visited.
//! Each mutant breaks one rule and must be caught. One file, since a rule is only seen beside the others.
#![expect(clippy::unwrap_used, clippy::disallowed_types, reason = "bookkeeping of a test; no order is used")]
#![expect(clippy::print_stdout, reason = "the size of what was explored is the result")]

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use cluster_core::command::{Batch, Command, CommitBlob, PutManifest, Response};
use cluster_core::key::RepositoryId;
use cluster_core::state::{self, blob::LEASE_MS};
use cluster_core::view::{MemoryView, ViewMut};
use proto::digest::{Algorithm, Digest};
use proto::identity::{NodeId, RegistryId};
use proto::upload::UploadId;

/// Log time goes by so much at once: every lease and every staging deadline is over after one.
const TICK_MS: u64 = LEASE_MS + 1;
/// After the upload began; shorter than a lease, which the rules need.
const STAGING_MS: u64 = LEASE_MS / 2;
/// Copies that a commit needs.
const W: u32 = 2;
const CONTENT: &[u8] = b"blob";

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    /// Nothing.
    None,
    /// A drop takes effect whatever the record says by then (R1).
    NoRecheckAtDrop,
    /// A manifest is stored whether or not its blob is linked (R6).
    NoCheckAtManifest,
    /// A home has one file per digest, so unlinking one generation removes any (R2).
    OneFileName,
    /// A home removes staged files by its own clock (R3).
    JanitorByLocalClock,
    /// A commit counts receipts after the staging deadline (R3).
    ReceiptAfterDeadline,
}

#[derive(Clone, Copy, Debug)]
struct Size {
    clients: u8,
    homes: u8,
    ticks: u8,
    deletes: u8,
    lost_disks: u8,
}

/// A client and its one upload; its number is the generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Client {
    /// Tick at which the upload began.
    began: Option<u8>,
    /// Homes that gave a receipt, one bit each.
    receipts: u8,
    /// The proposal is under way: it may be applied at any time, any number of times.
    commit_sent: bool,
    /// The client knows that the repository links the blob.
    linked: bool,
    /// Its commit was answered with this other generation: homes may use its copies for that one (R4).
    kept: Option<u8>,
    /// As `commit_sent`.
    put_sent: bool,
}

/// What a home learns from one entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Event {
    tick: u8,
    record: Option<u8>,
    dropped: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Home {
    /// Generations of the blob on its disk, one bit each.
    files: u8,
    /// Generations whose unlinking is queued.
    unlinks: u8,
    /// Last applied entry.
    applied: Event,
    /// Entries not applied yet.
    queue: VecDeque<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Number of the replicated state in `Model::views`.
    view: u32,
    clients: Vec<Client>,
    homes: Vec<Home>,
    /// Generations for which a drop was planned; each may be proposed again and again.
    drops: u8,
    ticks: u8,
    deletes: u8,
    lost: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Tick,
    BeginUpload(u8),
    Stage(u8, u8),
    SendCommit(u8),
    ApplyCommit(u8),
    HeadFindsLink(u8),
    SendPut(u8),
    ApplyPut(u8),
    DeleteManifest(u8),
    Unlink,
    PlanDrop,
    ApplyDrop(u8),
    HomeApplies(u8),
    HomeUnlinks(u8, u8),
    Janitor(u8, u8),
    Adopt(u8, u8),
    LoseDisk(u8),
    Repair(u8),
}

/// The parts of a replicated state that the model looks at.
#[derive(Clone, Debug)]
struct Facts {
    record: Option<u8>,
    is_linked: bool,
    can_be_dropped: bool,
    /// Clients whose manifest is stored, one bit each.
    manifests: u8,
}

struct Model {
    mutant: Mutant,
    size: Size,
    views: Vec<(MemoryView, Facts)>,
    numbers: BTreeMap<MemoryView, u32>,
    /// By state, step and the tick at which the step's upload began.
    applied: HashMap<(u32, Step, Option<u8>), (u32, Response)>,
}

fn repository() -> RepositoryId {
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    RepositoryId { registry, name: "a".parse().unwrap() }
}

fn blob() -> Digest {
    Digest::of(Algorithm::Sha256, CONTENT)
}

fn manifest(client: u8) -> Digest {
    Digest::of(Algorithm::Sha256, &[client])
}

fn generation(client: u8) -> UploadId {
    UploadId::new(NodeId::new(1).unwrap(), u128::from(client))
}

fn bit(number: u8) -> u8 {
    1 << number
}

/// Numbers of the bits that are set.
fn bits(set: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |number| set & bit(*number) != 0)
}

fn facts(view: &MemoryView, clients: u8) -> Facts {
    let record = state::blob::blob(view, &blob()).unwrap();
    let now = state::log_time(view).unwrap();
    let is_stored =
        |client: &u8| state::manifest::manifest(view, &repository(), &manifest(*client)).unwrap().is_some();
    Facts {
        record: record
            .as_ref()
            .map(|record| (0..clients).find(|c| generation(*c) == record.generation).unwrap()),
        is_linked: state::blob::link(view, &repository(), &blob()).unwrap().is_some(),
        can_be_dropped: record.is_some_and(|record| record.links == 0 && record.lease_until_ms < now),
        manifests: (0..clients).filter(is_stored).map(bit).sum(),
    }
}

impl Model {
    fn new(mutant: Mutant, size: Size) -> Self {
        let empty = MemoryView::default();
        let views = vec![(empty.clone(), facts(&empty, size.clients))];
        Self { mutant, size, views, numbers: BTreeMap::from([(empty, 0)]), applied: HashMap::new() }
    }

    fn facts(&self, state: &State) -> &Facts {
        &self.views[state.view as usize].1
    }

    /// The command of a step that goes through the log; a tick is an entry without one.
    fn command(&self, step: Step, began: Option<u8>) -> Option<Command> {
        Some(match step {
            Step::ApplyCommit(client) => {
                let deadline = u64::from(began?) * TICK_MS + STAGING_MS;
                let is_mutant = self.mutant == Mutant::ReceiptAfterDeadline;
                Command::CommitBlob(CommitBlob {
                    repository: repository(),
                    digest: blob(),
                    size: CONTENT.len() as u64,
                    generation: generation(client),
                    pieces_root: [0; 32],
                    staging_deadline_ms: if is_mutant { u64::MAX } else { deadline },
                    copies: Vec::new(),
                    required_copies: 1,
                    required_zones: 1,
                })
            }
            Step::HeadFindsLink(_) => Command::RenewLease { digest: blob() },
            Step::ApplyPut(client) => {
                let is_mutant = self.mutant == Mutant::NoCheckAtManifest;
                Command::PutManifest(Box::new(PutManifest {
                    repository: repository(),
                    digest: manifest(client),
                    media_type: String::new(),
                    content: vec![client],
                    blobs: if is_mutant { Vec::new() } else { vec![(blob(), CONTENT.len() as u64)] },
                    children: Vec::new(),
                    subject: None,
                    artifact_type: None,
                    annotations: BTreeMap::new(),
                    tags: Vec::new(),
                    condition: None,
                }))
            }
            Step::DeleteManifest(client) => {
                Command::DeleteManifest { repository: repository(), digest: manifest(client) }
            }
            Step::Unlink => Command::UnlinkBlob { repository: repository(), digest: blob() },
            Step::ApplyDrop(of) => Command::DropBlob { digest: blob(), generation: generation(of) },
            _ => return None,
        })
    }

    /// Commits one entry: production apply, then every home has one more event to follow.
    fn commit(&mut self, state: &mut State, step: Step) -> Response {
        let began = match step {
            Step::ApplyCommit(client) => state.clients[usize::from(client)].began,
            _ => None,
        };
        // Log time is in the state, except for the tick that is about to change it.
        let tick = if step == Step::Tick { Some(state.ticks) } else { began };
        let (view, response) = match self.applied.get(&(state.view, step, tick)) {
            Some(known) => known.clone(),
            None => {
                let done = self.apply(state, step, began);
                self.applied.insert((state.view, step, tick), done.clone());
                done
            }
        };
        let before = self.facts(state).record;
        state.view = view;
        let record = self.facts(state).record;
        let dropped = before.filter(|before| record != Some(*before));
        for home in &mut state.homes {
            let last = *home.queue.back().unwrap_or(&home.applied);
            if dropped.is_some() || (last.tick, last.record) != (state.ticks, record) {
                home.queue.push_back(Event { tick: state.ticks, record, dropped });
            }
        }
        response
    }

    fn apply(&mut self, state: &State, step: Step, began: Option<u8>) -> (u32, Response) {
        let mut view = self.views[state.view as usize].0.clone();
        let response = if (self.mutant, step) == (Mutant::NoRecheckAtDrop, Step::ApplyDrop(0)) {
            let blobs: Vec<_> =
                view.iter().map(|(key, _)| key.to_vec()).filter(|key| key[0] == b'b').collect();
            blobs.into_iter().for_each(|key| view.delete(key));
            Response::Dropped
        } else {
            let commands = self.command(step, began).into_iter().collect();
            let batch = Batch { time_ms: u64::from(state.ticks) * TICK_MS, commands };
            match state::apply(&mut view, 1, batch) {
                Ok(mut responses) => responses.pop().unwrap_or(Response::Kept),
                // The state that this mutant leaves behind contradicts itself; a node would stop there.
                Err(_) if self.mutant == Mutant::NoRecheckAtDrop => return (state.view, Response::Kept),
                Err(error) => panic!("{step:?}: {error}"),
            }
        };
        let next = u32::try_from(self.views.len()).unwrap();
        let number = *self.numbers.entry(view.clone()).or_insert(next);
        if number == next {
            let facts = facts(&view, self.size.clients);
            self.views.push((view, facts));
        }
        (number, response)
    }

    /// Every step that could come next.
    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        let facts = self.facts(state);
        let mut may = |allowed: bool, step: Step| {
            if allowed {
                steps.push(step);
            }
        };
        let may_delete = state.deletes < self.size.deletes;
        may(state.ticks < self.size.ticks, Step::Tick);
        may(
            facts.can_be_dropped && facts.record.is_some_and(|of| state.drops & bit(of) == 0),
            Step::PlanDrop,
        );
        may(may_delete && facts.is_linked, Step::Unlink);
        bits(state.drops).for_each(|of| may(facts.record.is_some(), Step::ApplyDrop(of)));
        bits(facts.manifests).for_each(|of| may(may_delete, Step::DeleteManifest(of)));
        for (number, client) in (0..).zip(&state.clients) {
            let is_idle = client.began.is_none() && !client.linked;
            may(is_idle, Step::BeginUpload(number));
            may(is_idle && facts.is_linked, Step::HeadFindsLink(number));
            let stages = client.began.is_some() && !client.commit_sent;
            for home in 0..self.size.homes {
                may(stages && client.receipts & bit(home) == 0, Step::Stage(number, home));
            }
            may(stages && client.receipts.count_ones() >= W, Step::SendCommit(number));
            may(client.commit_sent, Step::ApplyCommit(number));
            may(client.linked && !client.put_sent, Step::SendPut(number));
            may(client.put_sent, Step::ApplyPut(number));
        }
        for number in 0..self.size.homes {
            self.home_steps(state, number, &mut may);
        }
        steps
    }

    fn home_steps(&self, state: &State, number: u8, may: &mut impl FnMut(bool, Step)) {
        let home = &state.homes[usize::from(number)];
        may(!home.queue.is_empty(), Step::HomeApplies(number));
        may(state.lost < self.size.lost_disks && home.files != 0, Step::LoseDisk(number));
        bits(home.unlinks).for_each(|of| may(true, Step::HomeUnlinks(number, of)));
        for of in bits(home.files) {
            let client = &state.clients[usize::from(of)];
            let is_over = client.began.is_some_and(|began| began < home.applied.tick)
                || self.mutant == Mutant::JanitorByLocalClock;
            may(is_over && home.applied.record != Some(of), Step::Janitor(number, of));
            may(client.kept.is_some_and(|kept| home.files & bit(kept) == 0), Step::Adopt(number, of));
        }
        let wanted = home.applied.record.filter(|of| home.files & bit(*of) == 0);
        let found = wanted.is_some_and(|of| state.homes.iter().any(|other| other.files & bit(of) != 0));
        may(found, Step::Repair(number));
    }

    fn next(&mut self, before: &State, step: Step) -> State {
        let mut state = before.clone();
        match step {
            Step::Tick => {
                state.ticks += 1;
                self.commit(&mut state, step);
            }
            Step::BeginUpload(client) => state.clients[usize::from(client)].began = Some(state.ticks),
            Step::Stage(client, home) => {
                state.homes[usize::from(home)].files |= bit(client);
                state.clients[usize::from(client)].receipts |= bit(home);
            }
            Step::SendCommit(client) => state.clients[usize::from(client)].commit_sent = true,
            Step::ApplyCommit(client) => {
                if let Response::BlobLinked { generation: named } = self.commit(&mut state, step) {
                    let kept = (0..self.size.clients).find(|c| generation(*c) == named);
                    let answered = &mut state.clients[usize::from(client)];
                    answered.linked = true;
                    answered.kept = kept.filter(|kept| *kept != client);
                }
            }
            Step::HeadFindsLink(client) => {
                self.commit(&mut state, step);
                state.clients[usize::from(client)].linked = true;
            }
            Step::SendPut(client) => state.clients[usize::from(client)].put_sent = true,
            Step::ApplyPut(_) | Step::ApplyDrop(_) => drop(self.commit(&mut state, step)),
            Step::DeleteManifest(_) | Step::Unlink => {
                state.deletes += 1;
                self.commit(&mut state, step);
            }
            Step::PlanDrop => state.drops |= self.facts(&state).record.map_or(0, bit),
            _ => self.home_next(&mut state, step),
        }
        state
    }

    fn home_next(&self, state: &mut State, step: Step) {
        let (number, of) = match step {
            Step::HomeApplies(home) | Step::LoseDisk(home) | Step::Repair(home) => (home, 0),
            Step::HomeUnlinks(home, of) | Step::Janitor(home, of) | Step::Adopt(home, of) => (home, of),
            other => unreachable!("{other:?} is no step of a home"),
        };
        let home = &mut state.homes[usize::from(number)];
        match step {
            Step::HomeApplies(_) => {
                home.applied = home.queue.pop_front().unwrap();
                home.unlinks |= home.applied.dropped.map_or(0, bit);
                // That it was dropped has done its work.
                home.applied.dropped = None;
            }
            Step::HomeUnlinks(..) => {
                home.unlinks &= !bit(of);
                home.files &= if self.mutant == Mutant::OneFileName { 0 } else { !bit(of) };
            }
            Step::Janitor(..) => home.files &= !bit(of),
            Step::Adopt(..) => {
                let kept = state.clients[usize::from(of)].kept.unwrap();
                home.files = home.files & !bit(of) | bit(kept);
            }
            Step::Repair(_) => home.files |= home.applied.record.map_or(0, bit),
            _ => {
                state.lost += 1;
                (home.files, home.unlinks) = (0, 0);
                // Receipts of the old incarnation are void (R7), unless they were used already.
                for client in state.clients.iter_mut().filter(|client| !client.commit_sent) {
                    client.receipts &= !bit(number);
                }
            }
        }
    }

    /// What must hold in every state: a manifest's blob has its recorded generation on enough homes.
    fn is_safe(&self, state: &State) -> bool {
        let facts = self.facts(state);
        if facts.manifests == 0 {
            return true;
        }
        let Some(of) = facts.record else { return false };
        // Under one name a home cannot tell the generations apart; any file is the blob.
        let wanted = if self.mutant == Mutant::OneFileName { u8::MAX } else { bit(of) };
        let copies = state.homes.iter().filter(|home| home.files & wanted != 0);
        copies.count() as u32 + u32::from(state.lost) >= W
    }

    /// Visits every reachable state. The number of states, or the steps to an unsafe one.
    fn explore(&mut self) -> Result<usize, Vec<Step>> {
        let start = State {
            view: 0,
            clients: vec![Client::default(); usize::from(self.size.clients)],
            homes: vec![Home::default(); usize::from(self.size.homes)],
            drops: 0,
            ticks: 0,
            deletes: 0,
            lost: 0,
        };
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut seen = HashSet::from([hasher.hash_one(&start)]);
        // How each state came about, to tell the story of an unsafe one.
        let mut came_by: Vec<(u32, Step)> = vec![(0, Step::Tick)];
        let mut frontier = VecDeque::from([(0, start)]);
        while let Some((number, state)) = frontier.pop_front() {
            for step in self.steps(&state) {
                let next = self.next(&state, step);
                if !seen.insert(hasher.hash_one(&next)) {
                    continue;
                }
                came_by.push((number, step));
                let next_number = u32::try_from(came_by.len() - 1).unwrap();
                if !self.is_safe(&next) {
                    return Err(story(&came_by, next_number));
                }
                frontier.push_back((next_number, next));
            }
        }
        Ok(seen.len())
    }
}

fn story(came_by: &[(u32, Step)], mut number: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    while number != 0 {
        let (before, step) = came_by[number as usize];
        steps.push(step);
        number = before;
    }
    steps.reverse();
    steps
}

const ORDINARY: Size = Size { clients: 2, homes: 2, ticks: 2, deletes: 2, lost_disks: 0 };

fn assert_safe(size: Size) {
    let started = std::time::Instant::now();
    match Model::new(Mutant::None, size).explore() {
        Ok(states) => println!("{size:?}: {states} states, {:?}", started.elapsed()),
        Err(story) => panic!("{size:?} is unsafe after {story:#?}"),
    }
}

/// With `SHOAL_TEST_FULL=1` experiment E21 in full, at least two million states: about a minute with
/// `--release`.
#[test]
fn no_interleaving_loses_a_blob_that_a_manifest_needs() {
    let mut sizes = vec![ORDINARY, Size { lost_disks: 1, deletes: 1, ticks: 1, ..ORDINARY }];
    if std::env::var_os("SHOAL_TEST_FULL").is_some() {
        sizes.push(Size { ticks: 3, deletes: 2, lost_disks: 1, ..ORDINARY });
        sizes.push(Size { clients: 3, ticks: 1, deletes: 1, ..ORDINARY });
        sizes.push(Size { homes: 3, ticks: 1, deletes: 1, ..ORDINARY });
    }
    sizes.into_iter().for_each(assert_safe);
}

#[test]
fn every_mutant_is_caught() {
    for mutant in [
        Mutant::NoRecheckAtDrop,
        Mutant::NoCheckAtManifest,
        Mutant::OneFileName,
        Mutant::JanitorByLocalClock,
        Mutant::ReceiptAfterDeadline,
    ] {
        match Model::new(mutant, ORDINARY).explore() {
            Ok(states) => panic!("{mutant:?} was not caught in {states} states"),
            Err(story) => println!("{mutant:?} is caught in {} steps: {story:?}", story.len()),
        }
    }
}
