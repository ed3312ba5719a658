//! The histograms of openraft's statistics, counting nothing.
//!
//! Openraft counts each of its messages in histograms that are read through `Raft::runtime_stats`, which its feature
//! `runtime-stats` brings, and which we do not use: what an operator watches is in our own metrics. The crate it counts with
//! (`base2histogram` 0.2.3) computes tables for its 16 widths when the first number comes, of which openraft uses one: 24 MB
//! in every controller, two thirds of an idle one's memory (`docs/performance.md`). This crate has what openraft names of
//! it, and the same answers as a histogram nothing was put into.
//!
//! It goes as soon as openraft leaves its histograms out with the feature, or their tables are made one by one.

use std::fmt;
use std::marker::PhantomData;

/// A histogram that stays empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()>(PhantomData<T>);

impl<T> Histogram<T> {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }

    /// Forgets a value.
    pub fn record(&mut self, _value: u64) {}

    /// Forgets a value that came some times.
    pub fn record_n(&mut self, _value: u64, _times: u64) {}

    /// What is known of no values.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// How many values there were, and below which number so many of a hundred lay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the percentiles say which they are")]
pub struct PercentileStats {
    /// The values that were counted.
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not counted")
    }
}

/// A chart of no bars.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart;

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not counted")
    }
}

impl AsciiChart {
    /// A chart of no bars.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// The same chart: there is nothing to see in a histogram.
    #[must_use]
    pub fn add<T>(self, _name: &str, _values: Histogram<T>) -> Self {
        self
    }
}
