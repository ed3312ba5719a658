//! What may happen next. Small numbers throughout, so that names collide and sequences shrink.

use proptest::prelude::*;

/// Something that can be put and deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    Tenant,
    Workspace,
    InstanceSku,
    StorageSku,
    Volume,
    Instance,
    Image,
    Network,
    Subnet,
    RouteTable,
    Gateway,
    Host,
    Account,
    Revocation,
    Nic,
    PublicIp,
    Group,
    Rule,
    Pool,
    Role,
    Assignment,
    WorkspaceQuota,
}

/// Names one thing: which tenant, which workspace, which of the few names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) thing: Thing,
    pub(crate) tenant: u8,
    pub(crate) workspace: u8,
    pub(crate) name: u8,
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// PUT; `choice` decides about the spec, `version` may stand in if-unmodified-since, `host` is proposed.
    Put { place: Place, choice: u16, version: Option<u8>, host: Option<u8> },
    /// DELETE.
    Delete { place: Place, version: Option<u8> },
    /// DELETE of an instance or volume that exists.
    DeleteAny { which: u8 },
    /// 0 start, 1 stop, 2 restart, of an instance that exists.
    Power { which: u8, action: u8 },
    /// The end of an upload.
    Fill { place: Place, content: u8 },
    /// PUT of an image of a volume that a host has.
    Image { which: u8 },
    /// The placement loop handles the instance that waits longest.
    PlaceWaiting,
    /// Somebody places something somewhere.
    PlaceAnything { which: u8, host: u8 },
    /// A host introduces itself; 0: under a key that is not its own.
    HostSeen { host: u8, zone: u8, size: u8, healthy: bool, key: u8 },
    /// A machine joins with a token that is good for so many seconds; 1 or 2: the token names a zone.
    Enrol { host: u8, key: u8, zone: u8, token: u8, seconds: i8 },
    /// Another token, or the same, is used for an object that may be there.
    Redeem { token: u8, seconds: i8, which: Option<u8> },
    /// 0 cordon, 1 and 2 uncordon, 3 revoke.
    HostAction { host: u8, action: u8 },
    /// It is judged out of touch, perhaps as it was some entries ago.
    HostUnreachable { host: u8, judged: Option<u8> },
    /// It hears part of what is desired.
    Hear { host: u8, mask: u32 },
    /// It does what it was told.
    Work { host: u8 },
    /// It says part of what it did.
    Report { host: u8, mask: u32 },
    /// It gives copies to a controller, perhaps of what it was told long ago.
    Deposit { host: u8 },
    /// It hears, works and reports, of everything.
    Drive { host: u8 },
    /// It hears and works, of everything, and says part of what it did.
    Begin { host: u8, mask: u32 },
    /// It cannot do anything for one of its objects any more; or it can again.
    Break { host: u8, which: u8 },
    /// See [`Operation::Break`].
    Mend { host: u8 },
    /// A guest ends by itself.
    EndGuest { host: u8, which: u8, crashed: bool },
    /// A host loses power.
    Reboot { host: u8 },
    /// Words that no honest host would say.
    Forge { host: u8, which: u8, bits: u16, offset: i8 },
    /// An entry is proposed again, as after a change of leader.
    Repeat { back: u8 },
    /// What a tenant's suspension or deletion leaves to do.
    WindDown,
    /// An operator wants a controller to take part, or to leave.
    Replica { id: u8, leave: bool },
    /// The leader has heard that every controller knows a cluster version.
    Upgrade { version: u8 },
    /// Replicas compare what they have.
    Digest,
    /// An operator says which zones there are, perhaps once all controllers know that this may be said.
    Zones { which: u8, upgraded: bool },
    /// The leader sees that something has stood where it is for too long.
    Judge { which: u8 },
    /// It says so, of all that it has seen; meanwhile they may have moved on.
    Expire,
    /// An operator says that something on a host is gone; a revoked host's, mostly.
    Release { which: u8 },
    /// An operator orders a host to deal with something, whether it has a row or not.
    OrderLeftover { host: u8, which: u8, remove: bool },
    /// A new leader's first entry.
    Blank,
    /// Time passes, or a new leader's clock is behind.
    Clock { milliseconds: i32 },
}

fn place(thing: impl Strategy<Value = Thing>) -> impl Strategy<Value = Place> {
    let tenant = prop_oneof![30 => Just(0u8), 1 => Just(1u8), 1 => Just(2u8)];
    let workspace = prop_oneof![15 => Just(0u8), 1 => Just(1u8)];
    (thing, tenant, workspace, 0..4u8).prop_map(|(thing, tenant, workspace, name)| Place {
        thing,
        tenant,
        workspace,
        name,
    })
}

fn of(thing: Thing) -> impl Strategy<Value = Place> {
    place(Just(thing))
}

fn network_thing() -> impl Strategy<Value = Place> {
    place(prop_oneof![
        6 => Just(Thing::Nic),
        3 => Just(Thing::PublicIp),
        1 => Just(Thing::Network),
        2 => Just(Thing::Subnet),
        1 => Just(Thing::RouteTable),
        1 => Just(Thing::Group),
        1 => Just(Thing::Rule),
        1 => Just(Thing::Pool),
    ])
}

fn any_thing() -> impl Strategy<Value = Place> {
    place(prop_oneof![
        1 => Just(Thing::Tenant),
        2 => Just(Thing::Workspace),
        1 => Just(Thing::InstanceSku),
        1 => Just(Thing::StorageSku),
        8 => Just(Thing::Volume),
        10 => Just(Thing::Instance),
        5 => Just(Thing::Image),
        2 => Just(Thing::Network),
        1 => Just(Thing::Subnet),
        1 => Just(Thing::RouteTable),
        1 => Just(Thing::Gateway),
        1 => Just(Thing::Host),
        1 => Just(Thing::Account),
        1 => Just(Thing::Revocation),
        1 => Just(Thing::Role),
        1 => Just(Thing::Assignment),
        1 => Just(Thing::WorkspaceQuota),
    ])
}

fn put(place: impl Strategy<Value = Place>) -> impl Strategy<Value = Operation> {
    let rarely = proptest::option::weighted(0.1, 0..4u8);
    (place, any::<u16>(), rarely, proptest::option::weighted(0.8, prop_oneof![8 => 0..2u8, 1 => 2..4u8]))
        .prop_map(|(place, choice, version, host)| Operation::Put { place, choice, version, host })
}

/// Any event.
pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    let host = || prop_oneof![8 => 0..2u8, 1 => Just(2u8)];
    prop_oneof![
        8 => put(any_thing()),
        6 => put(of(Thing::Volume)),
        12 => put(of(Thing::Instance)),
        8 => (any_thing(), proptest::option::weighted(0.1, 0..4u8))
            .prop_map(|(place, version)| Operation::Delete { place, version }),
        6 => any::<u8>().prop_map(|which| Operation::DeleteAny { which }),
        20 => (any::<u8>(), 0..3u8).prop_map(|(which, action)| Operation::Power { which, action }),
        3 => (of(Thing::Volume), 0..4u8).prop_map(|(place, content)| Operation::Fill { place, content }),
        3 => Just(Operation::PlaceWaiting),
        1 => (any::<u8>(), host()).prop_map(|(which, host)| Operation::PlaceAnything { which, host }),
        4 => (host(), 0..8u8, 0..4u8, prop::bool::weighted(0.9), 0..8u8)
            .prop_map(|(host, zone, size, healthy, key)| Operation::HostSeen { host, zone, size, healthy, key }),
        2 => (0..4u8, 0..4u8, 0..8u8, 0..32u8, -1..20i8)
            .prop_map(|(host, key, zone, token, seconds)| Operation::Enrol { host, key, zone, token, seconds }),
        3 => (0..32u8, -1..20i8, proptest::option::of(any::<u8>()))
            .prop_map(|(token, seconds, which)| Operation::Redeem { token, seconds, which }),
        2 => (0..4u8, 0..4u8).prop_map(|(host, action)| Operation::HostAction { host, action }),
        2 => put(of(Thing::Host)),
        1 => (of(Thing::Host), Just(None)).prop_map(|(place, version)| Operation::Delete { place, version }),
        1 => (host(), proptest::option::of(0..2u8))
            .prop_map(|(host, judged)| Operation::HostUnreachable { host, judged }),
        6 => (host(), any::<u32>()).prop_map(|(host, mask)| Operation::Hear { host, mask }),
        6 => host().prop_map(|host| Operation::Work { host }),
        6 => (host(), any::<u32>()).prop_map(|(host, mask)| Operation::Report { host, mask }),
        3 => host().prop_map(|host| Operation::Deposit { host }),
        3 => any::<u8>().prop_map(|which| Operation::Image { which }),
        12 => host().prop_map(|host| Operation::Drive { host }),
        8 => (host(), any::<u32>()).prop_map(|(host, mask)| Operation::Begin { host, mask }),
        3 => (host(), any::<u8>()).prop_map(|(host, which)| Operation::Break { host, which }),
        2 => host().prop_map(|host| Operation::Mend { host }),
        6 => (host(), 0..2u8, any::<bool>())
            .prop_map(|(host, which, crashed)| Operation::EndGuest { host, which, crashed }),
        6 => host().prop_map(|host| Operation::Reboot { host }),
        8 => (host(), any::<u8>(), any::<u16>(), -2..=2i8)
            .prop_map(|(host, which, bits, offset)| Operation::Forge { host, which, bits, offset }),
        3 => (0..10u8).prop_map(|back| Operation::Repeat { back }),
        1 => Just(Operation::Blank),
        1 => (0..4u8, any::<bool>()).prop_map(|(id, leave)| Operation::Replica { id, leave }),
        1 => (1..4u8).prop_map(|version| Operation::Upgrade { version }),
        1 => Just(Operation::Digest),
        4 => (0..10u8, any::<bool>()).prop_map(|(which, upgraded)| Operation::Zones { which, upgraded }),
        8 => any::<u8>().prop_map(|which| Operation::Judge { which }),
        4 => Just(Operation::Expire),
        4 => any::<u8>().prop_map(|which| Operation::Release { which }),
        2 => (host(), any::<u8>(), any::<bool>())
            .prop_map(|(host, which, remove)| Operation::OrderLeftover { host, which, remove }),
        4 => Just(Operation::WindDown),
        2 => (-5_000..5_000i32).prop_map(|milliseconds| Operation::Clock { milliseconds }),
    ]
}

/// Mostly what concerns networks, and instances that hold on to their NICs for a while.
pub(crate) fn network_operation() -> impl Strategy<Value = Operation> {
    let host = || 0..2u8;
    prop_oneof![
        12 => put(network_thing()),
        4 => (network_thing(), proptest::option::weighted(0.1, 0..4u8))
            .prop_map(|(place, version)| Operation::Delete { place, version }),
        4 => put(of(Thing::Instance)),
        1 => put(of(Thing::Volume)),
        2 => any::<u8>().prop_map(|which| Operation::DeleteAny { which }),
        1 => put(of(Thing::Gateway)),
        1 => (of(Thing::Gateway), Just(None)).prop_map(|(place, version)| Operation::Delete { place, version }),
        1 => (of(Thing::Workspace), Just(None)).prop_map(|(place, version)| Operation::Delete { place, version }),
        2 => host().prop_map(|host| Operation::Drive { host }),
        1 => (0..10u8).prop_map(|back| Operation::Repeat { back }),
    ]
}
