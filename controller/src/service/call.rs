//! A call as the service sees it: authenticated, parsed, and free of HTTP. Also what a follower passes to the leader.

use rempart_api::fleet::{Orphans, Repair};
use rempart_api::storage::BlobSpec;
use rempart_api::workspace::WorkspaceSpec;
use rempart_api::{StringMap, Urn};
use rempart_model::{HostAction, PowerAction, Spec, VerbSet};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::authorise::Caller;
use super::list::selector::Selector;
use super::shown::Json;

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Identifies it among retries, and in every log line about it.
    pub id: Uuid,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub call: Call,
    /// What the caller calls the shared tenant, where that is not the name it is stored by: so they are shown it.
    #[serde(default)]
    pub alias: Option<String>,
}

impl Request {
    /// The tenant's name, as the caller wrote it.
    pub(super) fn tenant(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.call.urn().tenant)
    }
}

/// What can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Call {
    /// One resource.
    Get {
        /// Which.
        urn: Urn,
    },
    /// Where a resource stands. Whoever may read it may ask, and operators: it shows nothing of its content.
    Explain {
        /// Which.
        urn: Urn,
    },
    /// What exists without a row, or is a row without its thing. Operators only.
    Orphans {
        /// All hosts: a host without a name.
        hosts: Urn,
    },
    /// What to do about one of those. Operators only.
    Repair {
        /// On which host.
        host: Urn,
        /// Which incarnation.
        uid: Uuid,
        /// What to do.
        repair: Repair,
    },
    /// A page of a collection.
    List {
        /// Kind and scope; its name is empty.
        from: Urn,
        /// Which page.
        page: Page,
    },
    /// Create or replace.
    Put {
        /// Which.
        urn: Urn,
        /// Version it must have.
        if_unmodified_since: Option<u64>,
        /// The representation.
        body: Box<Body>,
    },
    /// Ask it to go.
    Delete {
        /// Which.
        urn: Urn,
        /// Version it must have.
        if_unmodified_since: Option<u64>,
    },
    /// Start, stop or restart.
    Power {
        /// Which instance.
        urn: Urn,
        /// Version it must have.
        if_unmodified_since: Option<u64>,
        /// What to do.
        action: PowerAction,
    },
    /// Cordon, uncordon or revoke. Operators only.
    Host {
        /// Which host.
        urn: Urn,
        /// Version it must have.
        if_unmodified_since: Option<u64>,
        /// What to do.
        action: HostAction,
    },
    /// Say what a blank volume contains. Without the bytes, operators only: naming a digest must not give access to
    /// them.
    Fill {
        /// Which block storage.
        urn: Urn,
        /// Its content.
        content: BlobSpec,
        /// The caller brought the bytes to the replica that asks.
        #[serde(default)]
        uploaded: bool,
    },
}

impl Call {
    /// Changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self, Call::Get { .. } | Call::Explain { .. } | Call::Orphans { .. } | Call::List { .. })
    }

    /// The verbs of SECA's permissions that it takes.
    pub(super) fn verbs(&self) -> VerbSet {
        match self {
            Call::List { .. } | Call::Orphans { .. } => VerbSet::LIST,
            Call::Get { .. } | Call::Explain { .. } => VerbSet::GET,
            Call::Put { .. } | Call::Fill { .. } => VerbSet::PUT,
            Call::Delete { .. } => VerbSet::DELETE,
            Call::Power { action: PowerAction::Start, .. } => VerbSet::START,
            Call::Power { action: PowerAction::Stop, .. } => VerbSet::STOP,
            Call::Power { action: PowerAction::Restart, .. } => VerbSet::RESTART,
            Call::Host { .. } | Call::Repair { .. } => VerbSet::ACT,
        }
    }

    /// What it is about.
    pub fn urn(&self) -> &Urn {
        match self {
            Call::List { from: urn, .. }
            | Call::Get { urn }
            | Call::Explain { urn }
            | Call::Orphans { hosts: urn }
            | Call::Repair { host: urn, .. }
            | Call::Put { urn, .. }
            | Call::Delete { urn, .. }
            | Call::Power { urn, .. }
            | Call::Host { urn, .. }
            | Call::Fill { urn, .. } => urn,
        }
    }
}

/// What a PUT brings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// Labels.
    pub labels: StringMap,
    /// Annotations.
    pub annotations: StringMap,
    /// Extensions.
    pub extensions: StringMap,
    /// Desired state.
    pub spec: Spec,
}

impl Body {
    /// Stands for one that could not be read, where only the right to bring one is asked about.
    pub fn nothing() -> Body {
        Body {
            labels: StringMap::new(),
            annotations: StringMap::new(),
            extensions: StringMap::new(),
            spec: Spec::from(WorkspaceSpec::default()),
        }
    }
}

/// Which part of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Most items, 1..10000.
    pub limit: usize,
    /// From the page before, as it was given.
    pub skip_token: Option<String>,
    /// Labels that the items have.
    pub selector: Option<Selector>,
    /// What to do with those that were deleted.
    pub deleted: Deleted,
}

impl Default for Page {
    fn default() -> Page {
        Page { limit: 1000, skip_token: None, selector: None, deleted: Deleted::default() }
    }
}

/// Whether deleted resources are listed. Deleted is what has `deletedAt`; as long as it is there it is listed in any case,
/// in state `deleting`, and of what is gone nothing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Deleted {
    /// `application/json`
    #[default]
    Exclude,
    /// `application/json; deleted=true`
    Include,
    /// `application/json; deleted=only`
    Only,
}

impl Deleted {
    /// As clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Deleted::Exclude => "false",
            Deleted::Include => "true",
            Deleted::Only => "only",
        }
    }
}

/// What was answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// A resource: a [`rempart_api::ResourceView`].
    Resource {
        /// It did not exist before.
        created: bool,
        /// As the caller may see it.
        view: Json,
    },
    /// A page: a [`rempart_api::ResourceList`].
    List(Json),
    /// Anything else: its type is the call's.
    Document(Json),
    /// What State knows of orphans; who answers adds what controllers have.
    Orphans(Box<Orphans>),
    /// Accepted, nothing to show.
    Accepted,
}
