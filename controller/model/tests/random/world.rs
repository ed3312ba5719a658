//! A cloud with few names: turns operations into commands, and plays the hosts.

use std::collections::BTreeMap;

use rempart_api::fleet::{HostReport, HypervisorHealth, Leftover, LeftoverPart, Virtualization};
use rempart_api::{Kind, StringMap, Timestamp, Urn};
use rempart_model::{
    CaptureCommand, ClusterVersion, Command, DeleteCommand, DigestCommand, EnrolCommand, ExpireCommand,
    Expired, Failure, FillCommand, Founding, HostAction, HostCommand, HostName, HostSeen, InstanceReport,
    LeftoverAction, LeftoverCommand, Object, ObjectReport, OffCause, Outcome, PlaceCommand, PowerAction,
    PowerCommand, PutCommand, RedeemCommand, ReleaseCommand, ReplicaCommand, ReplicaIntent, ReportCommand,
    Spec, Then, TokenUse, UpgradeCommand, VolumeReport, WindDownCommand, placement, stand,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::host::SimulatedHost;
use crate::log::Log;
use crate::operation::Operation;
use crate::spec::{blob, name_of_host, spec, storage_sku, urn};

/// See the module.
pub(crate) struct World {
    pub(crate) log: Log,
    pub(crate) hosts: BTreeMap<String, SimulatedHost>,
    minted: u128,
    /// When the tokens there are expire.
    tokens: BTreeMap<u8, Timestamp>,
    /// What has stood too long, as it was when that was seen.
    judged: Vec<Expired>,
}

impl World {
    /// A founded region with a catalogue, two tenants with two workspaces each, some volumes, and two hosts.
    pub(crate) fn new() -> World {
        let mut world = World {
            log: Log::default(),
            hosts: BTreeMap::new(),
            minted: 0,
            tokens: BTreeMap::new(),
            judged: Vec::new(),
        };
        let catalogue = [
            (Urn::global(Kind::Tenant, "public"), json!({"owners": ["operator"]})),
            (Urn::tenant(Kind::InstanceSku, "public", "s0"), json!({"vCPU": 1, "ram": 1})),
            (Urn::tenant(Kind::InstanceSku, "public", "s1"), json!({"vCPU": 4, "ram": 4})),
            (Urn::tenant(Kind::StorageSku, "public", "s0"), storage_sku()),
            (Urn::tenant(Kind::NetworkSku, "public", "s0"), json!({"bandwidth": 1, "packets": 1})),
        ];
        let catalogue = catalogue.into_iter().map(|(urn, spec)| world.put_command(urn, spec)).collect();
        let zones = vec!["a".to_owned(), "b".to_owned()];
        let founding = Founding { cluster_id: world.mint(), region: "eu-1".into(), zones, catalogue };
        world.propose(Command::Found(founding)).unwrap();
        for tenant in ["t1", "t2"] {
            world.put(Urn::global(Kind::Tenant, tenant), json!({"owners": ["alice"]}));
            for workspace in ["w1", "w2"] {
                world.put(Urn::tenant(Kind::Workspace, tenant, workspace), json!({}));
            }
        }
        for volume in ["v0", "v1", "v2", "v3"] {
            let urn = Urn::workspace(Kind::BlockStorage, "t1", "w1", volume);
            world.put(urn, json!({"sizeGB": 1, "skuRef": "s0"}));
        }
        let here = |kind, name| Urn::workspace(kind, "t1", "w1", name);
        let nested = |kind, name| Urn::network(kind, "t1", "w1", "n0", name);
        world.put(here(Kind::Network, "n0"), json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "s0"}));
        let route = json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": "instances/i0"});
        world.put(nested(Kind::RouteTable, "r0"), json!({"routes": [route]}));
        let subnet = json!({"cidr": {"ipv4": "10.0.1.0/30"}, "zone": "a", "routeTableRef": "r0"});
        world.put(nested(Kind::Subnet, "s0"), subnet);
        world.put(Urn::global(Kind::AddressPool, "p0"), json!({"blocks": ["203.0.113.0/31"]}));
        for host in ["h0", "h1"] {
            world.seen(host, "a", 8, true, None);
        }
        world
    }

    fn mint(&mut self) -> Uuid {
        self.minted += 1;
        Uuid::from_u128(self.minted)
    }

    pub(crate) fn propose(&mut self, command: Command) -> Outcome {
        let envelope = self.log.envelope(10, command);
        self.log.apply(&envelope)
    }

    fn put_command(&mut self, urn: Urn, spec: Value) -> PutCommand {
        PutCommand {
            spec: Spec::parse(urn.kind, &spec).unwrap(),
            urn,
            if_unmodified_since: None,
            labels: StringMap::new(),
            annotations: StringMap::new(),
            extensions: StringMap::new(),
            uid: self.mint(),
            host: None,
        }
    }

    fn put(&mut self, urn: Urn, spec: Value) {
        let put = self.put_command(urn, spec);
        self.propose(Command::Put(Box::new(put))).unwrap();
    }

    /// What the leader does for tenants that are suspended or being deleted. Whether it did anything.
    pub(crate) fn wind_down(&mut self) -> bool {
        let tenants: Vec<_> = self.log.state.winding_down().map(str::to_owned).collect();
        let mut done = false;
        for tenant in tenants {
            done |= self.propose(Command::WindDown(WindDownCommand { tenant })).is_ok();
        }
        done
    }

    /// Lets one event happen.
    pub(crate) fn perform(&mut self, operation: &Operation) {
        match *operation {
            Operation::Put { place, choice, version, host } => {
                let mut put = self.put_command(urn(place), spec(place, choice));
                put.if_unmodified_since = version.map(u64::from);
                put.host = host.map(name_of_host);
                if choice.is_multiple_of(61) {
                    put.uid = Uuid::from_u128(u128::from(choice % 40));
                }
                if choice.is_multiple_of(3) {
                    put.labels.insert("choice".into(), choice.to_string());
                }
                let _ = self.propose(Command::Put(Box::new(put)));
            }
            Operation::WindDown => _ = self.wind_down(),
            Operation::Replica { id, leave } => {
                let replica_id = u64::from(id);
                let intent = match leave {
                    true => ReplicaIntent::Leave,
                    false => ReplicaIntent::Join { address: format!("c{id}:7080") },
                };
                let _ = self.propose(Command::Replica(ReplicaCommand { replica_id, intent }));
            }
            Operation::Upgrade { version } => {
                let version = ClusterVersion(version.into());
                let _ = self.propose(Command::Upgrade(UpgradeCommand { version }));
            }
            Operation::Zones { which, upgraded } => self.zones(which, upgraded),
            Operation::Digest => _ = self.propose(Command::Digest(DigestCommand { agreed: None })),
            Operation::Delete { place, version } => {
                let if_unmodified_since = version.map(u64::from);
                let _ = self.propose(Command::Delete(DeleteCommand { urn: urn(place), if_unmodified_since }));
            }
            Operation::DeleteAny { which } => {
                let Some(urn) = self.any_object(which).map(|object| (*object.urn).clone()) else {
                    return;
                };
                let _ = self.propose(Command::Delete(DeleteCommand { urn, if_unmodified_since: None }));
            }
            Operation::Power { which, action } => {
                let Some(urn) = self.any_instance(which) else { return };
                let action =
                    [PowerAction::Start, PowerAction::Stop, PowerAction::Restart][usize::from(action)];
                let _ = self.propose(Command::Power(PowerCommand { urn, if_unmodified_since: None, action }));
            }
            Operation::Fill { place, content } => {
                let _ = self.propose(Command::Fill(FillCommand { urn: urn(place), content: blob(content) }));
            }
            Operation::PlaceWaiting => self.place_waiting(),
            Operation::PlaceAnything { which, host } => {
                let Some(uid) = self.any_object(which).map(|object| object.uid) else { return };
                let _ = self.propose(Command::Place(PlaceCommand { uid, host: name_of_host(host) }));
            }
            Operation::HostSeen { host, zone, size, healthy, key } => {
                let zone = ["a", "a", "a", "a", "a", "a", "b", "c"][usize::from(zone)];
                let foreign = (key == 0).then(|| "f".repeat(64));
                self.seen(&name_of_host(host), zone, [1, 4, 8, 16][usize::from(size)], healthy, foreign);
            }
            Operation::Enrol { host, key, zone, token, seconds } => {
                let zone = [None, Some("a"), Some("b")].get(usize::from(zone)).copied().flatten();
                let token = self.token(token, seconds);
                self.enrol(&name_of_host(host), key, zone, token);
            }
            Operation::Redeem { token, seconds, which } => {
                let urn = which.and_then(|which| self.any_object(which)).map(|object| (*object.urn).clone());
                let token = self.token(token, seconds);
                let _ =
                    self.propose(Command::Redeem(RedeemCommand { token, purpose: "console".into(), urn }));
            }
            Operation::HostAction { host, action } => {
                use HostAction::{Cordon, Revoke, Uncordon};
                let action = [Cordon, Uncordon, Uncordon, Revoke][usize::from(action)];
                self.host_action(&name_of_host(host), action);
            }
            Operation::HostUnreachable { host, judged } => {
                let host = name_of_host(host);
                let known =
                    self.log.state.get(&Urn::global(Kind::Host, &host)).map(|host| host.changed_index);
                let changed_index = judged.and_then(|back| Some(known?.saturating_sub(u64::from(back))));
                let _ = self.propose(Command::HostUnreachable(HostName { host, changed_index }));
            }
            Operation::Hear { host, mask } => self.hear(host, |position| mask >> (position % 32) & 1 == 1),
            Operation::Work { host } => self.host(host).work(),
            Operation::Report { host, mask } => {
                self.report(host, |position| mask >> (position % 32) & 1 == 1)
            }
            Operation::Deposit { host } => self.deposit(host),
            Operation::Image { which } => self.image(which),
            Operation::Drive { host } => self.drive(host, |_| true),
            Operation::Begin { host, mask } => self.drive(host, |position| mask >> (position % 32) & 1 == 1),
            Operation::Break { host, which } => {
                let Some(uid) = self.any_object(which).map(|object| object.uid) else { return };
                self.host(host).broken.insert(uid);
            }
            Operation::Mend { host } => self.host(host).broken.clear(),
            Operation::EndGuest { host, which, crashed } => {
                let cause = if crashed { OffCause::Crashed } else { OffCause::Guest };
                if self.host(host).end_guest(usize::from(which), cause) {
                    self.log.note("guest shut down");
                }
            }
            Operation::Reboot { host } => {
                if self.host(host).reboot() {
                    self.log.note("host rebooted");
                }
            }
            Operation::Forge { host, which, bits, offset } => self.forge(host, which, bits, offset),
            Operation::Repeat { back } => {
                if let Some(envelope) = self.log.earlier(usize::from(back)) {
                    let _ = self.log.apply(&envelope);
                }
            }
            Operation::Judge { which } => self.judge(which),
            Operation::Expire => {
                let objects = std::mem::take(&mut self.judged);
                self.propose(Command::Expire(ExpireCommand { objects })).unwrap();
            }
            Operation::Release { which } => self.release(which),
            Operation::OrderLeftover { host, which, remove } => {
                let object = self.any_object(which).map(|object| object.uid).filter(|_| which % 4 == 0);
                let uid = object.unwrap_or_else(|| stray(which));
                let action = if remove { LeftoverAction::Remove } else { LeftoverAction::Quarantine };
                let host = name_of_host(host);
                let outcome = self.propose(Command::Leftover(LeftoverCommand { host, uid, action }));
                assert!(object.is_none() || outcome.is_err(), "something with a row is touched");
            }
            Operation::Blank => self.log.skip(),
            Operation::Clock { milliseconds } => self.log.pass(i64::from(milliseconds)),
        }
    }

    fn host(&mut self, host: u8) -> &mut SimulatedHost {
        self.hosts.entry(name_of_host(host)).or_default()
    }

    fn hear(&mut self, host: u8, heard: impl Fn(usize) -> bool) {
        let state = self.log.state.clone();
        self.host(host).hear(&state, &name_of_host(host), heard);
    }

    fn report(&mut self, host: u8, said: impl Fn(usize) -> bool) {
        let objects = self.host(host).report(said);
        if objects.is_empty() {
            return;
        }
        self.say(ReportCommand { host: name_of_host(host), objects });
    }

    /// Everybody is heard but those whose identity was revoked.
    fn say(&mut self, report: ReportCommand) {
        let identity = self.log.state.host_identity(&report.host);
        let revoked = identity.is_some_and(|identity| identity.revoked_at.is_some());
        assert_eq!(self.propose(Command::Report(report)).is_err(), revoked);
    }

    /// Token number `token`; when it is first heard of, it is good for so many seconds.
    fn token(&mut self, token: u8, seconds: i8) -> TokenUse {
        let expires_at = Timestamp::from_unix_ms(self.log.now().unix_ms() + i64::from(seconds) * 1000);
        let expires_at = *self.tokens.entry(token).or_insert(expires_at);
        TokenUse { id: Uuid::from_u128(u128::from(token) + (7 << 100)), expires_at }
    }

    pub(crate) fn enrol(&mut self, host: &str, key: u8, zone: Option<&str>, token: TokenUse) {
        let uid = self.mint();
        let _ = self.propose(Command::Enrol(EnrolCommand {
            host: host.to_owned(),
            uid,
            zone: zone.map(str::to_owned),
            key_sha256: key.to_string().repeat(64),
            token,
        }));
    }

    pub(crate) fn host_action(&mut self, host: &str, action: HostAction) {
        let urn = Urn::global(Kind::Host, host);
        let _ = self.propose(Command::Host(HostCommand { urn, if_unmodified_since: None, action }));
    }

    /// A token nobody has used.
    pub(crate) fn fresh_token(&mut self) -> TokenUse {
        TokenUse { id: self.mint(), expires_at: Timestamp::MAX }
    }

    /// The host catches up wholly and says what `said` selects.
    pub(crate) fn drive(&mut self, host: u8, said: impl Fn(usize) -> bool) {
        self.hear(host, |_| true);
        self.host(host).work();
        self.report(host, said);
        self.deposit(host);
    }

    fn image(&mut self, which: u8) {
        let volumes =
            self.log.state.of_kind(Kind::BlockStorage).filter(|volume| volume.placement().is_some());
        let volumes: Vec<Urn> = volumes.map(|volume| (*volume.urn).clone()).collect();
        if volumes.is_empty() {
            return;
        }
        let Urn { tenant, workspace, name, .. } = &volumes[usize::from(which) % volumes.len()];
        let source = format!("workspaces/{workspace}/block-storages/{name}");
        let spec = json!({"blockStorageRef": source, "cpuArchitecture": "amd64", "boot": "BIOS"});
        let put = self.put_command(Urn::tenant(Kind::Image, tenant, &format!("m{}", which % 2)), spec);
        let _ = self.propose(Command::Put(Box::new(put)));
    }

    /// The host gives the copies that it was told to make, perhaps long ago, to a controller.
    fn deposit(&mut self, host: u8) {
        for (volume, epoch, image) in self.host(host).copies() {
            let content = blob(0);
            let host = name_of_host(host);
            let _ = self.propose(Command::Capture(CaptureCommand { host, volume, epoch, image, content }));
        }
    }

    /// The placement loop: the first that waits and fits somewhere.
    pub(crate) fn place_waiting(&mut self) {
        let state = self.log.state.clone();
        let found =
            state.waiting().find_map(|waiting| Some((waiting.uid, placement::choose(&state, waiting)?)));
        if let Some((uid, host)) = found {
            self.propose(Command::Place(PlaceCommand { uid, host })).unwrap();
        }
    }

    /// A host says that it is there, with `size` GB, CPUs and half of it in disk; under `foreign` or its own key.
    pub(crate) fn seen(&mut self, host: &str, zone: &str, size: u32, healthy: bool, foreign: Option<String>) {
        let own = self.log.state.host_identity(host).map(|identity| identity.key_sha256.clone());
        let report = HostReport {
            vcpus: size,
            memory_mib: u64::from(size) << 10,
            disk_mib: u64::from(size) << 9,
            virtualization: Virtualization { uefi: true, ..Virtualization::default() },
            hypervisor: HypervisorHealth { available: healthy, ..HypervisorHealth::default() },
            leftovers: leftovers(size),
            ..HostReport::default()
        };
        let uid = self.mint();
        let seen = HostSeen {
            host: host.to_owned(),
            uid,
            zone: zone.to_owned(),
            report,
            at: Some(self.log.now()),
            key_sha256: foreign.or(own),
        };
        let _ = self.propose(Command::HostSeen(Box::new(seen)));
    }

    fn release(&mut self, which: u8) {
        let state = &self.log.state;
        let bound = state.objects().filter_map(|object| Some((object, object.placement()?)));
        let revoked =
            |host: &str| state.host_identity(host).is_some_and(|identity| identity.revoked_at.is_some());
        let mut bound: Vec<_> = bound.collect();
        // Those first for whom it may be right.
        bound.sort_by_key(|(object, placement)| !(object.is_deleting() && revoked(&placement.host)));
        let Some((object, placement)) = bound.get(usize::from(which % 3) % bound.len().max(1)) else {
            return;
        };
        let (deleting, host, uid) = (object.is_deleting(), placement.host.clone(), object.uid);
        let may = deleting && revoked(&host);
        let outcome = self.propose(Command::Release(ReleaseCommand { host, uid }));
        assert!(may || outcome.is_err(), "released against the rules");
    }

    fn judge(&mut self, which: u8) {
        let state = &self.log.state;
        let stood = state.under_way().filter_map(|object| Some((object, stand(state, object)?)));
        let mut stood: Vec<_> = stood.collect();
        if which.is_multiple_of(2) {
            // Those first of whom more follows than words.
            stood.sort_by_key(|(_, stand)| stand.step.info().then != Then::Fails);
        }
        let Some((object, stand)) = stood.get(usize::from(which / 2) % stood.len().max(1)) else { return };
        self.judged.push(Expired {
            uid: object.uid,
            resource_version: object.resource_version,
            host_generation: object.host_generation(),
            step: stand.step,
            since: stand.since,
            after_s: 1,
        });
    }

    fn zones(&mut self, which: u8, upgraded: bool) {
        if upgraded {
            let _ = self.propose(Command::Upgrade(UpgradeCommand { version: ClusterVersion(2) }));
        }
        // Some are odd; and by now and then one, hosts find what they say of themselves.
        let zones: [&[&str]; 10] = [
            &["a", "b"],
            &["a", "b", "c"],
            &["c", "b", "a"],
            &["a"],
            &["a", "c"],
            &["b"],
            &["d"],
            &["a", "b", "d"],
            &["a", "a"],
            &[],
        ];
        let spec = json!({"availableZones": zones[usize::from(which)], "providers": []});
        let put = self.put_command(Urn::global(Kind::Region, "eu-1"), spec);
        let before = self.log.state.zones().to_vec();
        if self.propose(Command::Put(Box::new(put))).is_ok() {
            let after = self.log.state.zones().to_vec();
            let has_new = |new: &[String], old: &[String]| new.iter().any(|zone| !old.contains(zone));
            if has_new(&after, &before) {
                self.log.note("zone added");
            }
            if has_new(&before, &after) {
                self.log.note("zone removed");
            }
        }
    }

    fn any_instance(&self, which: u8) -> Option<Urn> {
        let count = self.log.state.of_kind(Kind::Instance).count();
        let chosen = self.log.state.of_kind(Kind::Instance).nth(usize::from(which) % count.max(1));
        chosen.map(|instance| (*instance.urn).clone())
    }

    fn any_object(&self, which: u8) -> Option<&Object> {
        let mut objects: Vec<_> = self.log.state.of_kind(Kind::Instance).collect();
        objects.extend(self.log.state.of_kind(Kind::BlockStorage));
        (!objects.is_empty()).then(|| &**objects[usize::from(which) % objects.len()])
    }

    fn forge(&mut self, host: u8, which: u8, bits: u16, offset: i8) {
        let Some(object) = self.any_object(which) else { return };
        let bit = |position: u16| bits >> position & 1 == 1;
        let failure = (bits & 0x0f == 1).then(|| Failure {
            reason: "Forged".into(),
            message: "Forged".into(),
            detail: String::new(),
        });
        let uid = object.uid;
        let generation = object.resource_version.saturating_add_signed(i64::from(offset));
        let epoch = u64::from(bits >> 14 & 3);
        let report = if bit(4) {
            ObjectReport::Volume(VolumeReport {
                uid,
                generation,
                epoch,
                present: bit(5),
                failure,
                capture_failure: None,
            })
        } else {
            let off_cause = [None, Some(OffCause::Guest), Some(OffCause::Crashed), Some(OffCause::Requested)];
            ObjectReport::Instance(InstanceReport {
                uid,
                generation,
                epoch,
                present: bit(5),
                failure,
                running: bit(6),
                power_generation: u64::from(bits >> 7 & 3),
                off_cause: off_cause[usize::from(bits >> 9 & 3)],
            })
        };
        self.say(ReportCommand { host: name_of_host(host), objects: vec![report] });
    }
}

/// Something that nobody knows.
fn stray(which: u8) -> Uuid {
    Uuid::from_u128(u128::from(which % 3) + (9 << 100))
}

/// What a host of this size has lying about: some have nothing.
fn leftovers(size: u32) -> Vec<Leftover> {
    let left = |number: u8| Leftover {
        uid: stray(number),
        parts: vec![if number.is_multiple_of(2) { LeftoverPart::Volume } else { LeftoverPart::Quarantined }],
        bytes: 1,
        running: false,
        trouble: String::new(),
    };
    (0..3).filter(|number| u32::from(*number) < size % 5).map(left).collect()
}
