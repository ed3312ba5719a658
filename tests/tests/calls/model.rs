//! What each call has to be answered, said by the model: the same `State::apply`, the same `State::may`, in this process. What
//! lies above the model (who may what outside of tenants, what a body has to look like, pages) is said once more, in other words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rempart_api::{Kind, ProblemType, StringMap, Timestamp, Urn, Verbs};
use rempart_model::{
    Answer, Command, DeleteCommand, ENVELOPE_FORMAT, Envelope, Founding, HostAction, HostCommand, Object,
    Outcome, PowerAction, PowerCommand, Presentation, PutCommand, Refusal, RefusalClass, Seen, Spec, State,
    VerbSet, Wrong, check_references, circumstances, system_roles, view, view_in,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::people::{KEY, OPERATOR, ROBOT, Token};
use crate::plan::{Call, Deed};

/// Providers of the region document.
const ADVERTISED: [&str; 13] = [
    "seca.region",
    "seca.authorization",
    "seca.workspace",
    "seca.compute",
    "seca.storage",
    "seca.network",
    "rempart.tenancy",
    "rempart.fleet",
    "rempart.identity",
    "rempart.catalogue",
    "rempart.cluster",
    "rempart.console",
    "rempart.explain",
];

/// What is to be answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expected {
    /// 201 if it was created.
    Shown {
        created: bool,
        view: Value,
    },
    /// 202
    Accepted,
    /// Pages of items.
    Pages(Vec<Vec<Value>>),
    Refused(No),
}

/// How it is refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct No {
    /// By the table that follows the specification.
    pub(crate) status: u16,
    /// The other table makes it a 412.
    pub(crate) soft: bool,
    pub(crate) class: ProblemType,
    /// If the model says it, and in which words.
    pub(crate) detail: Option<String>,
    /// Of the fields at fault, if it is known.
    pub(crate) pointers: Option<Vec<String>>,
}

impl No {
    fn new(status: u16, soft: bool, class: ProblemType) -> No {
        No { status, soft, class, detail: None, pointers: None }
    }

    fn forbidden() -> No {
        No::new(403, false, ProblemType::Forbidden)
    }

    fn unauthorized() -> No {
        No::new(401, false, ProblemType::Unauthorized)
    }

    fn method() -> No {
        No::new(405, false, ProblemType::InvalidRequest)
    }

    fn at(self, pointer: &str) -> No {
        No { pointers: Some(vec![pointer.to_owned()]), ..self }
    }

    fn of(refusal: Refusal) -> No {
        let (status, soft, class) = match refusal.class {
            RefusalClass::NotFound => (404, false, ProblemType::ResourceNotFound),
            RefusalClass::ParentNotFound => (404, true, ProblemType::ResourceNotFound),
            RefusalClass::Forbidden => (403, false, ProblemType::Forbidden),
            RefusalClass::Conflict => (409, true, ProblemType::ResourceConflict),
            RefusalClass::PreconditionFailed => (412, false, ProblemType::PreconditionFailed),
            RefusalClass::Invalid => (422, true, ProblemType::ValidationError),
        };
        let pointers = refusal.sources.into_iter().map(|source| source.pointer).collect();
        No { detail: Some(refusal.detail), pointers: Some(pointers), ..No::new(status, soft, class) }
    }

    fn missing(urn: &Urn) -> No {
        let detail = Some(format!("{urn} does not exist"));
        No { detail, ..No::new(404, false, ProblemType::ResourceNotFound) }
    }
}

/// A PUT's body, read.
struct Sent {
    labels: StringMap,
    annotations: StringMap,
    extensions: StringMap,
    spec: Spec,
}

/// The model, and what callers show.
pub(crate) struct Model {
    pub(crate) state: State,
    tokens: BTreeMap<&'static str, Token>,
    key: String,
    is_robot_known: bool,
    public_url: String,
}

impl Model {
    /// As a cluster is founded, with this first catalogue.
    pub(crate) fn founded(
        catalogue: Vec<PutCommand>,
        tokens: &[(&'static str, Token)],
        key: &str,
        public_url: &str,
    ) -> Model {
        let tokens = tokens.iter().cloned().collect();
        let state = State::default();
        let (key, public_url) = (key.to_owned(), public_url.to_owned());
        let mut model = Model { state, tokens, key, is_robot_known: false, public_url };
        let founding = Founding {
            cluster_id: Uuid::now_v7(),
            region: "local".to_owned(),
            zones: vec!["a".to_owned(), "b".to_owned()],
            catalogue,
        };
        let outcome = model.apply("system", Command::Found(founding));
        assert_eq!(outcome, Ok(Answer::Done));
        model
    }

    fn apply(&mut self, actor: &str, command: Command) -> Outcome {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let envelope = Envelope {
            format: ENVELOPE_FORMAT,
            request_id: Uuid::now_v7(),
            actor: actor.to_owned(),
            trace: None,
            time: Timestamp::from_unix_ms(i64::try_from(now).expect("before the year 292 million")),
            command,
        };
        self.state.apply(self.state.applied_index() + 1, &envelope).outcome
    }

    /// What `call` has to be answered. It is done.
    pub(crate) fn answer(&mut self, call: &Call) -> Expected {
        self.judge(call).unwrap_or_else(Expected::Refused)
    }

    fn judge(&mut self, call: &Call) -> Result<Expected, No> {
        let (who, urn) = (call.who, &call.urn);
        let has_key = self.state.account_key("acme", "robot", KEY).is_some_and(|key| key.x == self.key);
        // A token that was verified once is known; what it rests on is asked about with what it is to do.
        self.is_robot_known |= who == ROBOT && has_key;
        if who == ROBOT && !self.is_robot_known {
            return Err(No::unauthorized());
        }
        let info = urn.kind.info();
        let writable = info.verbs == Verbs::All || (info.catalogue && urn.tenant == "public");
        match &call.deed {
            Deed::Put(_) | Deed::Delete if !writable => return Err(No::method()),
            Deed::Odd { beneath: "", .. } => return Err(No::method()),
            Deed::Odd { beneath: "/start", .. } if urn.kind == Kind::Instance => return Err(No::method()),
            Deed::Odd { .. } => return Err(No::new(404, false, ProblemType::ResourceNotFound)),
            _ => {}
        }
        if who == ROBOT && !has_key {
            return Err(No::unauthorized());
        }
        self.check_rights(call)?;
        match &call.deed {
            Deed::Get => {
                let object = self.state.get_visible(urn).ok_or_else(|| No::missing(urn))?;
                Ok(Expected::Shown { created: false, view: self.shown(object, &urn.tenant, who) })
            }
            Deed::List { limit, labels } => self.pages(call, *limit, labels).map(Expected::Pages),
            Deed::Put(text) => {
                let sent = read(urn, text)?;
                let mut put = PutCommand {
                    urn: urn.clone(),
                    if_unmodified_since: call.version,
                    labels: sent.labels,
                    annotations: sent.annotations,
                    extensions: sent.extensions,
                    spec: sent.spec,
                    uid: Uuid::now_v7(),
                    host: None,
                };
                put.spec.check_clear_secrets().map_err(No::of)?;
                check_references(&self.state, &put).map_err(No::of)?;
                match self.apply(who, Command::Put(Box::new(put))).map_err(No::of)? {
                    Answer::Put { created, object } => {
                        let view = json!(view(&self.state, &object, self.presentation("PUT", who)));
                        Ok(Expected::Shown { created, view })
                    }
                    other => unreachable!("of a PUT: {other:?}"),
                }
            }
            Deed::Delete => self.write(
                who,
                Command::Delete(DeleteCommand { urn: urn.clone(), if_unmodified_since: call.version }),
            ),
            Deed::Act(action) => {
                let (urn, if_unmodified_since) = (urn.clone(), call.version);
                let power =
                    |action| Command::Power(PowerCommand { urn: urn.clone(), if_unmodified_since, action });
                let host =
                    |action| Command::Host(HostCommand { urn: urn.clone(), if_unmodified_since, action });
                let command = match *action {
                    "start" => power(PowerAction::Start),
                    "stop" => power(PowerAction::Stop),
                    "restart" => power(PowerAction::Restart),
                    "cordon" => host(HostAction::Cordon),
                    "uncordon" => host(HostAction::Uncordon),
                    "revoke" => host(HostAction::Revoke),
                    other => unreachable!("the table has no action {other}"),
                };
                self.write(who, command)
            }
            Deed::Odd { .. } => unreachable!("it was refused above"),
        }
    }

    fn write(&mut self, who: &str, command: Command) -> Result<Expected, No> {
        match self.apply(who, command) {
            Ok(_) => Ok(Expected::Accepted),
            Err(refusal) => Err(No::of(refusal)),
        }
    }

    fn check_rights(&self, call: &Call) -> Result<(), No> {
        let (who, urn, state) = (call.who, &call.urn, &self.state);
        let called_back = state.revoked_until(who).is_some_and(|until| {
            who != ROBOT && self.tokens[who].issued_unix_s <= until.unix_ms().div_euclid(1000)
        });
        if called_back {
            return Err(No::unauthorized());
        }
        let verbs = match &call.deed {
            Deed::Get => VerbSet::GET,
            Deed::List { .. } => VerbSet::LIST,
            Deed::Put(_) => VerbSet::PUT,
            Deed::Delete => VerbSet::DELETE,
            Deed::Act("start") => VerbSet::START,
            Deed::Act("stop") => VerbSet::STOP,
            Deed::Act("restart") => VerbSet::RESTART,
            Deed::Act(_) | Deed::Odd { .. } => VerbSet::ACT,
        };
        let reads = matches!(call.deed, Deed::Get | Deed::List { .. });
        let operates = who == OPERATOR;
        let holds = state.may(who, urn, verbs);
        let is_catalogue = urn.kind.info().catalogue || urn.kind == Kind::Image;
        let may = match urn.kind {
            Kind::Region => reads,
            Kind::Host | Kind::TokenRevocation | Kind::AddressPool => operates,
            Kind::Tenant => operates || (verbs == VerbSet::GET && holds),
            _ if urn.tenant == "public" => operates || (reads && is_catalogue),
            _ if urn.kind.info().catalogue => reads && (holds || state.knows(&urn.tenant, who)),
            Kind::Workspace if verbs == VerbSet::LIST => {
                !matches!(state.workspaces_seen(who, &urn.tenant), Seen::Only(names) if names.is_empty())
            }
            _ => holds,
        };
        let suspended = !reads && state.is_suspended(&urn.tenant);
        if may && !suspended { Ok(()) } else { Err(No::forbidden()) }
    }

    /// In pages of so many.
    fn pages(&self, call: &Call, limit: usize, labels: &str) -> Result<Vec<Vec<Value>>, No> {
        let from = Urn { name: String::new(), ..call.urn.clone() };
        if let Some(parent) = from.parent()
            && self.state.get(&parent).is_none()
        {
            return Err(No::missing(&parent));
        }
        let seen = match from.kind {
            Kind::Workspace if from.tenant != "public" => self.state.workspaces_seen(call.who, &from.tenant),
            _ => Seen::All,
        };
        let shared = Urn { tenant: "public".to_owned(), ..from.clone() };
        let mut all: BTreeMap<&str, &Arc<Object>> = BTreeMap::new();
        if from.kind.info().catalogue {
            all.extend(self.state.collection(&shared).map(|object| (object.urn.name.as_str(), object)));
        }
        all.extend(system_roles(&from).map(|object| (object.urn.name.as_str(), object)));
        // A tenant's own hides a shared one of its name.
        all.extend(self.state.collection(&from).map(|object| (object.urn.name.as_str(), object)));
        let wanted = all.into_values().filter(|object| {
            let visible = match &seen {
                Seen::All => true,
                Seen::Only(names) => names.contains(&object.urn.name),
            };
            visible && selects(labels, &object.labels)
        });
        let items: Vec<Value> = wanted.map(|object| self.shown(object, &from.tenant, call.who)).collect();
        if items.is_empty() {
            return Ok(vec![Vec::new()]);
        }
        Ok(items.chunks(limit).map(<[Value]>::to_vec).collect())
    }

    fn shown(&self, object: &Object, tenant: &str, who: &str) -> Value {
        let asked = Urn { tenant: tenant.to_owned(), ..(*object.urn).clone() };
        let show = self.presentation("GET", who);
        json!(view_in(&self.state, object, &asked, show, circumstances(&self.state, object, show)))
    }

    fn presentation<'a>(&'a self, verb: &'a str, who: &str) -> Presentation<'a> {
        Presentation {
            public_url: &self.public_url,
            providers: &ADVERTISED,
            verb,
            operator: who == OPERATOR,
            verdicts: None,
        }
    }
}

/// A body as the contract has it: metadata is passed over, but for what contradicts the path.
fn read(urn: &Urn, text: &str) -> Result<Sent, No> {
    let malformed = || No::new(400, false, ProblemType::InvalidRequest);
    let invalid = |pointer: &str| No::new(422, true, ProblemType::ValidationError).at(pointer);
    let Ok(Value::Object(body)) = serde_json::from_str::<Value>(text) else { return Err(malformed()) };
    let path = [
        ("name", &*urn.name),
        ("tenant", &urn.tenant),
        ("workspace", &urn.workspace),
        ("network", &urn.network),
        ("region", "local"),
    ];
    for (field, there) in path {
        let said = body.get("metadata").and_then(|metadata| metadata[field].as_str()).unwrap_or_default();
        if !said.is_empty() && !there.is_empty() && said != there {
            return Err(invalid(&format!("/metadata/{field}")));
        }
    }
    let may_lack = BTreeSet::from([Kind::Workspace, Kind::InternetGateway]).contains(&urn.kind);
    let spec = match body.get("spec").filter(|spec| !spec.is_null()) {
        Some(spec) => spec.clone(),
        None if may_lack => json!({}),
        None => return Err(invalid("/spec")),
    };
    let spec = Spec::parse(urn.kind, &spec).map_err(|error| match error.wrong {
        Wrong::Type => malformed().at(&error.pointer),
        Wrong::Value => invalid(&error.pointer),
    })?;
    let map = |name: &str| {
        let empty = json!({});
        let members = body.get(name).filter(|map| !map.is_null()).unwrap_or(&empty).as_object();
        let members = members.ok_or_else(|| malformed().at(&format!("/{name}")))?;
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        let all: Option<StringMap> = members.iter().map(text).collect();
        all.ok_or_else(|| malformed().at(&format!("/{name}")))
    };
    Ok(Sent {
        labels: map("labels")?,
        annotations: map("annotations")?,
        extensions: map("extensions")?,
        spec,
    })
}

/// Of the selectors that are tried.
fn selects(selector: &str, labels: &StringMap) -> bool {
    let number = || labels.get("n").and_then(|text| text.parse::<i64>().ok());
    let tier = labels.get("tier").map(String::as_str);
    match selector {
        "" => true,
        "tier=gold" => tier == Some("gold"),
        "tier!=gold" => tier != Some("gold"),
        "!tier" => tier.is_none(),
        "n>4" => number().is_some_and(|n| n > 4),
        "tier,n<=7" => tier.is_some() && number().is_some_and(|n| n <= 7),
        other => unreachable!("no meaning is said of {other}"),
    }
}
