//! How a pool's members share the connections.

/// How a pool's members share the connections. `R` is what only turns can have (OTC guide, table 10-1): stickiness, and
/// at Layer 7 slow start. The other algorithms choose by something else than whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm<R> {
    /// Smooth weighted round robin.
    WeightedRoundRobin(R),
    /// The fewest connections for its weight; at most [`crate::capacity::Capacity::least_members`] members.
    WeightedLeastConnections,
    /// Consistent hash of the client's address (Maglev).
    SourceHash,
}

/// What members' weights are to [`Algorithm::SourceHash`]; the others always count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// Each gets its share of the clients by them.
    #[default]
    Count,
    /// Nothing, as in the OTC guide (section 3.4): all shares are equal. Who has weight 0 gets none all the same.
    Ignore,
}

impl Weights {
    /// Every one.
    pub const ALL: [Weights; 2] = [Weights::Count, Weights::Ignore];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Weights::Count => "count",
            Weights::Ignore => "ignore",
        }
    }
}

impl<R: Default> Default for Algorithm<R> {
    fn default() -> Self {
        Self::WeightedRoundRobin(R::default())
    }
}

impl<R> Algorithm<R> {
    /// Its name in files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WeightedRoundRobin(_) => "weighted-round-robin",
            Self::WeightedLeastConnections => "weighted-least-connections",
            Self::SourceHash => "source-hash",
        }
    }

    /// What turns have, if these are turns.
    pub const fn turns(&self) -> Option<&R> {
        match self {
            Self::WeightedRoundRobin(turns) => Some(turns),
            Self::WeightedLeastConnections | Self::SourceHash => None,
        }
    }

    /// The same algorithm without what only turns have.
    pub const fn bare(&self) -> Algorithm<()> {
        match self {
            Self::WeightedRoundRobin(_) => Algorithm::WeightedRoundRobin(()),
            Self::WeightedLeastConnections => Algorithm::WeightedLeastConnections,
            Self::SourceHash => Algorithm::SourceHash,
        }
    }
}

impl Copy for Algorithm<()> {}
