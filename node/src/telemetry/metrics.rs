//! Metrics in Prometheus' text format. Labels are bounded: operations and status classes, never names,
//! paths or digests that clients choose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What a request is counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// Name of the operation.
    pub(crate) operation: &'static str,
    /// Status code.
    pub(crate) status: u16,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OperationLabels {
    /// Its name.
    pub(crate) operation: &'static str,
}

/// What left plain HTTP connections, by which road.
#[derive(Debug, Default)]
pub(crate) struct SentBytes {
    /// Handed from file to socket by the kernel.
    pub(crate) by_sendfile: AtomicU64,
    /// Copied from memory.
    pub(crate) by_copy: AtomicU64,
}

/// Connections, counted by the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionMetrics {
    /// All ever.
    pub(crate) opened: Counter,
    /// Now.
    pub(crate) open: Gauge,
    /// Ended by an error or a deadline.
    pub(crate) failed: Counter,
    /// Bytes of plain HTTP connections.
    pub(crate) sent: Arc<SentBytes>,
}

/// Requests, counted by the API.
#[derive(Clone, Debug)]
pub(crate) struct RequestMetrics {
    /// Answers.
    pub(crate) total: Family<RequestLabels, Counter>,
    /// From the head of the request to the head of the answer.
    pub(crate) duration: Family<OperationLabels, Histogram, fn() -> Histogram>,
    /// Bytes of blobs and manifests in answers, as announced.
    pub(crate) response_bytes: Family<OperationLabels, Counter>,
    /// Bytes of uploads and manifests received.
    pub(crate) request_bytes: Family<OperationLabels, Counter>,
    /// Logins and tokens refused.
    pub(crate) refused_logins: Counter,
}

fn buckets() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0])
}

/// All metrics of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// See there.
    pub(crate) connections: ConnectionMetrics,
    /// See there.
    pub(crate) requests: RequestMetrics,
}

impl Metrics {
    /// Registers everything; `disk` and `raft` give the figures of the moment at each scrape.
    pub(crate) fn new(figures: impl Fn() -> Vec<Figure> + Send + Sync + 'static) -> Self {
        let mut registry = Registry::with_prefix("shoal");
        let connections = ConnectionMetrics::default();
        let requests = RequestMetrics {
            total: Family::default(),
            duration: Family::new_with_constructor(buckets),
            response_bytes: Family::default(),
            request_bytes: Family::default(),
            refused_logins: Counter::default(),
        };
        registry.register("http_connections_opened", "Connections accepted", connections.opened.clone());
        registry.register("http_connections_open", "Connections now", connections.open.clone());
        registry.register(
            "http_connections_failed",
            "Connections ended by error or deadline",
            connections.failed.clone(),
        );
        registry.register("http_requests", "Answers by operation and status", requests.total.clone());
        registry.register_with_unit(
            "http_request_duration",
            "To the head of the answer",
            Unit::Seconds,
            requests.duration.clone(),
        );
        registry.register_with_unit(
            "http_response",
            "Content announced in answers",
            Unit::Bytes,
            requests.response_bytes.clone(),
        );
        registry.register_with_unit(
            "http_request",
            "Content received",
            Unit::Bytes,
            requests.request_bytes.clone(),
        );
        registry.register("logins_refused", "Wrong passwords and tokens", requests.refused_logins.clone());
        let sent = connections.sent.clone();
        registry.register_collector(Box::new(Scrape(Box::new(move || {
            let mut all = figures();
            let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
            all.push(Figure::counter(
                "sent_by_sendfile_bytes",
                "Left without a copy",
                load(&sent.by_sendfile),
            ));
            all.push(Figure::counter(
                "sent_by_copy_bytes",
                "Left from memory, plain HTTP",
                load(&sent.by_copy),
            ));
            all
        }))));
        Self { registry, connections, requests }
    }

    /// The text of a scrape.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// A figure that its owner keeps and the scrape reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    name: &'static str,
    help: &'static str,
    value: u64,
    counter: bool,
}

impl Figure {
    /// Something that only grows while the process runs.
    pub(crate) fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, value, counter: true }
    }

    /// Something that goes up and down.
    pub(crate) fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, value, counter: false }
    }
}

struct Scrape(Box<dyn Fn() -> Vec<Figure> + Send + Sync>);

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for Figure { name, help, value, counter } in (self.0)() {
            if counter {
                let metric = ConstCounter::new(value);
                metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
            } else {
                let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
                metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
            }
        }
        Ok(())
    }
}
