use rempart_api::compute::InstanceSpec;
use rempart_api::tenancy::{Quota, TenantSpec};
use rempart_api::{Kind, ResourceView};
use rempart_model::{Command, Core, ENVELOPE_FORMAT, Envelope, Founding, PutCommand, Spec};
use uuid::Uuid;

use super::*;

const SHOW: Presentation<'_> =
    Presentation { public_url: "http://api", providers: &[], verb: "GET", operator: false, verdicts: None };

/// A founded State with the tenant `acme`.
fn founded() -> State {
    let put = PutCommand {
        urn: Urn::global(Kind::Tenant, "acme"),
        if_unmodified_since: None,
        labels: rempart_api::StringMap::new(),
        annotations: rempart_api::StringMap::new(),
        extensions: rempart_api::StringMap::new(),
        spec: Spec::from(TenantSpec {
            owners: vec!["alice".to_owned()],
            subjects: None,
            suspended: false,
            quota: Quota::new(),
        }),
        uid: Uuid::now_v7(),
        host: None,
    };
    let command = Command::Found(Founding {
        cluster_id: Uuid::now_v7(),
        region: "local".to_owned(),
        zones: vec!["a".to_owned()],
        catalogue: vec![put],
    });
    let mut state = State::default();
    apply(&mut state, command);
    state
}

fn apply(state: &mut State, command: Command) {
    let envelope = Envelope {
        format: ENVELOPE_FORMAT,
        request_id: Uuid::now_v7(),
        actor: "alice".to_owned(),
        trace: None,
        time: rempart_api::Timestamp::from_unix_ms(1_800_000_000_000),
        command,
    };
    let index = state.applied_index() + 1;
    assert!(state.apply(index, &envelope).outcome.is_ok());
}

fn put(state: &mut State, urn: &Urn, label: &str) {
    apply(
        state,
        Command::Put(Box::new(PutCommand {
            urn: urn.clone(),
            if_unmodified_since: None,
            labels: [("l".to_owned(), label.to_owned())].into(),
            annotations: rempart_api::StringMap::new(),
            extensions: rempart_api::StringMap::new(),
            spec: Spec::from(rempart_api::workspace::WorkspaceSpec::default()),
            uid: Uuid::now_v7(),
            host: None,
        })),
    );
}

struct Reader {
    shown: Shown,
    sealer: Sealer,
}

impl Reader {
    fn new() -> Reader {
        Reader { shown: Shown::new(), sealer: Sealer::new(&[7; 32]).unwrap() }
    }

    fn read(&self, state: &State, urn: &Urn, tenant: &str) -> ResourceView {
        let object = state.get(urn).unwrap();
        let text = self.shown.text(state, object, tenant, SHOW, &self.sealer).unwrap();
        serde_json::from_slice(&text.bytes()).unwrap()
    }

    fn kept(&self) -> usize {
        self.shown.0.iter().map(|shelf| shelf.lock().unwrap().0.iter().flatten().count()).sum()
    }
}

#[test]
fn what_was_shown_before_is_shown_again_until_it_or_what_is_around_it_changes() {
    let (mut state, reader) = (founded(), Reader::new());
    let urn = Urn::tenant(Kind::Workspace, "acme", "w");
    put(&mut state, &urn, "one");
    let first = reader.read(&state, &urn, "acme");
    assert_eq!(reader.read(&state, &urn, "acme"), first);
    assert_eq!(reader.kept(), 1);
    let object = state.get(&urn).unwrap();
    let text = || reader.shown.text(&state, object, "acme", SHOW, &reader.sealer).unwrap().bytes();
    assert_eq!(text().as_ptr(), text().as_ptr(), "not made again");

    put(&mut state, &urn, "two");
    let second = reader.read(&state, &urn, "acme");
    assert_eq!(second.labels.unwrap()["l"], "two");
    assert_eq!(second.metadata.resource_version, Some(2));

    // The tenant itself stays as it is, and has one workspace more.
    let tenant = Urn::global(Kind::Tenant, "acme");
    let usage = |state: &State| reader.read(state, &tenant, "").status.unwrap()["usage"].clone();
    let before = usage(&state);
    put(&mut state, &Urn::tenant(Kind::Workspace, "acme", "v"), "one");
    assert_ne!(usage(&state), before);
}

#[test]
fn those_of_one_shelf_do_not_take_each_others_place_until_it_is_full() {
    let (state, reader) = (founded(), Reader::new());
    let pattern = state.get(&Urn::global(Kind::Tenant, "acme")).unwrap();
    let urns: Vec<_> = (0..=SHELF).map(|number| Urn::global(Kind::Tenant, &format!("t{number}"))).collect();
    let of = |(number, urn): (usize, &Urn)| Object {
        urn: Arc::new(urn.clone()),
        uid: Uuid::from_u128((number * SHELVES) as u128),
        ..(**pattern).clone()
    };
    let state = State::load(Core::default(), 1, urns.iter().enumerate().map(of), []);
    let text = |urn: &Urn| {
        let object = state.get(urn).unwrap();
        reader.shown.text(&state, object, "", SHOW, &reader.sealer).unwrap().bytes().as_ptr()
    };
    let (last, all) = urns.split_last().unwrap();
    let first: Vec<_> = all.iter().map(text).collect();
    assert_eq!(all.iter().map(text).collect::<Vec<_>>(), first, "not made again");
    text(last);
    assert_eq!(text(&all[1]), first[1], "the oldest made room");
    assert_eq!(reader.kept(), SHELF);
}

#[test]
fn a_name_of_ones_own_is_shown_to_nobody_else() {
    let (state, reader) = (founded(), Reader::new());
    let urn = Urn::global(Kind::Tenant, "acme");
    assert_eq!(reader.read(&state, &urn, "other").metadata.tenant.as_deref(), Some("other"));
    assert_eq!(reader.kept(), 0);
    assert_eq!(reader.read(&state, &urn, "").metadata.tenant, None);
    assert_eq!(reader.read(&state, &urn, "other").metadata.tenant.as_deref(), Some("other"));
}

#[test]
fn no_secret_is_kept_in_clear_and_nothing_long() {
    let reader = Reader::new();
    let state = founded();
    let pattern = state.get(&Urn::global(Kind::Tenant, "acme")).unwrap();
    let urn = Urn::workspace(Kind::Instance, "acme", "w", "vm");
    let spec = |user_data: Option<&str>| {
        let json = serde_json::json!({
            "skuRef": "skus/d", "zone": "a", "bootVolume": { "deviceRef": "block-storages/v" }, "userData": user_data
        });
        serde_json::from_value::<InstanceSpec>(json).unwrap()
    };
    let of = |user_data| {
        let mut spec = Spec::from(spec(user_data));
        reader.sealer.seal(&urn, &mut spec);
        Object { urn: Arc::new(urn.clone()), uid: Uuid::now_v7(), spec, ..(**pattern).clone() }
    };
    let state = State::load(Core::default(), 1, [of(Some("c2VjcmV0"))], []);
    assert_eq!(reader.read(&state, &urn, "acme").spec["userData"], "c2VjcmV0");
    assert_eq!(reader.kept(), 0);
    let mut long = of(None);
    long.labels = (0..100).map(|number| (format!("label-{number}"), "x".repeat(60))).collect();
    reader.read(&State::load(Core::default(), 1, [long], []), &urn, "acme");
    assert_eq!(reader.kept(), 0);
    reader.read(&State::load(Core::default(), 1, [of(None)], []), &urn, "acme");
    assert_eq!(reader.kept(), 1);
}
