use std::collections::BTreeSet;
use std::time::Duration;

use rempart_api::tenancy::{Quota, TenantSpec};
use rempart_api::{Kind, ResourceList, StringMap, Timestamp};
use rempart_model::{Command, ENVELOPE_FORMAT, Envelope, Founding, PutCommand, Spec};
use uuid::Uuid;

use super::selector::Selector;
use super::*;

fn all<'a>(from: &'a Urn, page: &'a Page) -> Query<'a> {
    Query { from, tenant: &from.tenant, page, allowed: Seen::All }
}

/// A tenant as a request makes it.
fn tenant(name: &str) -> Object {
    let put = PutCommand {
        urn: Urn::global(Kind::Tenant, name),
        if_unmodified_since: None,
        labels: StringMap::new(),
        annotations: StringMap::new(),
        extensions: StringMap::new(),
        spec: Spec::from(TenantSpec {
            owners: vec!["alice".to_owned()],
            subjects: None,
            suspended: false,
            quota: Quota::new(),
        }),
        uid: Uuid::now_v7(),
        host: None,
    };
    let founding = Founding {
        cluster_id: Uuid::now_v7(),
        region: "local".to_owned(),
        zones: vec!["a".to_owned()],
        catalogue: vec![put.clone()],
    };
    let envelope = Envelope {
        format: ENVELOPE_FORMAT,
        request_id: Uuid::now_v7(),
        actor: "system".to_owned(),
        trace: None,
        time: Timestamp::from_unix_ms(1_800_000_000_000),
        command: Command::Found(founding),
    };
    let mut state = State::default();
    assert!(state.apply(1, &envelope).outcome.is_ok());
    (**state.get(&put.urn).unwrap()).clone()
}

/// A State with these tenants; each has the label `n` with its number, those whose number is in `rare` another one.
fn tenants(numbers: impl Iterator<Item = usize>, rare: &[usize]) -> State {
    let pattern = tenant("t");
    let objects = numbers.map(|number| {
        let mut labels = StringMap::from([("n".to_owned(), number.to_string())]);
        if rare.contains(&number) {
            labels.insert("rare".to_owned(), "yes".to_owned());
        }
        let urn = Arc::new(Urn::global(Kind::Tenant, &name(number)));
        Object { urn, uid: Uuid::now_v7(), labels, ..pattern.clone() }
    });
    State::load(rempart_model::Core::default(), 1, objects, [])
}

fn name(number: usize) -> String {
    format!("t{number:06}")
}

fn sealer() -> Sealer {
    Sealer::new(&[7; 32]).unwrap()
}

fn page(limit: usize, labels: Option<&str>, token: Option<String>) -> Page {
    let selector = labels.map(|text| Selector::parse(text).unwrap());
    Page { limit, selector, skip_token: token, ..Page::default() }
}

async fn ask(state: &State, page: &Page) -> Result<(Vec<String>, Option<String>), ServiceError> {
    let show = || Presentation {
        public_url: "http://api",
        providers: &[],
        verb: "GET",
        operator: false,
        verdicts: None,
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let from = Urn::global(Kind::Tenant, "");
    let list =
        Lists::new(Arc::new(Shown::new())).list(state, &all(&from, page), &show, &sealer(), deadline).await?;
    let list: ResourceList = serde_json::from_slice(&list.bytes()).unwrap();
    let names = list.items.into_iter().map(|item| item.metadata.name).collect();
    Ok((names, list.metadata.skip_token))
}

#[tokio::test]
async fn a_walk_meets_what_stays_once_whatever_else_comes_and_goes() {
    let mut token = None;
    let mut met = Vec::new();
    // Even numbers stay. Of the odd ones another half is there at each page.
    for round in 0.. {
        let there = (0..500).filter(|number| number % 2 == 0 || number % 4 == 1 + 2 * (round % 2));
        let state = tenants(there, &[]);
        let (names, next) = ask(&state, &page(7, Some("n>=0"), token)).await.unwrap();
        assert!(names.len() == 7 || next.is_none());
        met.extend(names);
        token = next;
        if token.is_none() {
            break;
        }
    }
    let once: BTreeSet<&String> = met.iter().collect();
    assert_eq!(once.len(), met.len(), "one was met twice");
    assert!(met.is_sorted());
    assert!((0..500).step_by(2).all(|number| once.contains(&name(number))));
}

#[tokio::test]
async fn a_page_of_few_among_many_ends_early_but_is_never_empty_before_the_end() {
    let state = tenants(0..45_000, &[5, 35_000, 44_999]);
    let mut pages = Vec::new();
    let mut token = None;
    loop {
        let (names, next) = ask(&state, &page(100, Some("rare"), token)).await.unwrap();
        pages.push(names);
        token = next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![name(5)], vec![name(35_000)], vec![name(44_999)]]);
    assert_eq!(ask(&state, &page(100, Some("rare=no"), None)).await.unwrap(), (Vec::new(), None));
    // Full to the item: what is behind it decides whether there is a next page.
    let state = tenants(0..10, &[0, 1]);
    assert_eq!(ask(&state, &page(2, Some("rare"), None)).await.unwrap(), (vec![name(0), name(1)], None));
    assert!(ask(&state, &page(1, Some("rare"), None)).await.unwrap().1.is_some());
    assert_eq!(ask(&state, &page(10, None, None)).await.unwrap().1, None);
}

/// Labels and stars together are bounded as objects are: a page of what they are many of is cut short.
#[tokio::test]
async fn many_stars_over_many_labels_end_a_page_sooner() {
    let pattern = tenant("t");
    let labels: StringMap = (0..128).map(|number| (format!("k{number}"), "v".to_owned())).collect();
    let objects = (0..100).map(|number| Object {
        urn: Arc::new(Urn::global(Kind::Tenant, &name(number))),
        uid: Uuid::now_v7(),
        labels: labels.clone(),
        ..pattern.clone()
    });
    let state = State::load(rempart_model::Core::default(), 1, objects, []);
    let stars: Vec<String> = (0..32).map(|number| format!("!*x{number}*y*")).collect();
    let (first, token) = ask(&state, &page(100, Some(&stars.join(",")), None)).await.unwrap();
    assert_eq!((first.len(), token.is_some()), (SLICE.div_ceil(1 + 128 * 32 / LOOKS), true));
    let (all, token) = ask(&state, &page(100, Some("k1=v,k2!=x,!x"), None)).await.unwrap();
    assert_eq!((all.len(), token), (100, None));
}

#[tokio::test]
async fn a_search_for_nothing_waits_for_its_turn_and_not_for_ever() {
    let state = tenants(0..SLICE + 1, &[]);
    let lists = Lists::new(Arc::new(Shown::new()));
    let _searching = lists.searches.acquire().await.unwrap();
    let show =
        || Presentation { public_url: "", providers: &[], verb: "GET", operator: false, verdicts: None };
    let (from, sealer) = (Urn::global(Kind::Tenant, ""), sealer());
    let nothing = page(1, Some("rare"), None);
    let soon = Instant::now() + Duration::from_millis(20);
    let refused = lists.list(&state, &all(&from, &nothing), &show, &sealer, soon).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Fault(Fault::ManySearches)), "{refused}");
    let something = page(1, Some("n"), None);
    assert!(
        lists.list(&state, &all(&from, &something), &show, &sealer, soon).await.is_ok(),
        "others do not wait"
    );
}

#[tokio::test]
async fn a_token_is_of_its_list_alone_and_as_it_was_given() {
    let state = tenants(0..10, &[]);
    let token = ask(&state, &page(3, Some("n"), None)).await.unwrap().1.unwrap();
    let (names, _) = ask(&state, &page(2, Some("n"), Some(token.clone()))).await.unwrap();
    assert_eq!(names, [name(3), name(4)], "the limit may change");
    let refused = async |page: Page| match ask(&state, &page).await {
        Err(ServiceError::Parameter { parameter, .. }) => assert_eq!(parameter, "skipToken"),
        other => panic!("{page:?}: {other:?}"),
    };
    refused(page(3, None, Some(token.clone()))).await;
    refused(page(3, Some("n>0"), Some(token.clone()))).await;
    refused(Page { deleted: Deleted::Only, ..page(3, Some("n"), Some(token.clone())) }).await;
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        refused(page(3, Some("n"), Some(changed))).await;
    }
    for odd in ["x", "", "t000002", "====", &token[1..], &format!("{token}A"), &"A".repeat(100_000)] {
        refused(page(3, Some("n"), Some(odd.to_owned()))).await;
    }
    // Written by another cluster, or for another collection.
    let asked = page(3, Some("n"), None);
    let from = Urn::global(Kind::Tenant, "");
    let foreign = token::write(&Sealer::new(&[8; 32]).unwrap(), &from, &asked, &name(2));
    refused(page(3, Some("n"), Some(foreign))).await;
    let elsewhere = token::write(&sealer(), &Urn::global(Kind::Host, ""), &asked, &name(2));
    refused(page(3, Some("n"), Some(elsewhere))).await;
    let again = token::write(&Sealer::new(&[7; 32]).unwrap(), &from, &asked, &name(2));
    assert_eq!(again, token, "any controller of the cluster writes the same");
}

#[tokio::test]
async fn only_what_is_being_deleted() {
    let pattern = tenant("t");
    let deleting = Object {
        urn: Arc::new(Urn::global(Kind::Tenant, "gone")),
        uid: Uuid::now_v7(),
        deleted_at: Some(pattern.created_at),
        ..pattern.clone()
    };
    let state = State::load(rempart_model::Core::default(), 1, [pattern, deleting], []);
    for (deleted, expected) in [
        (Deleted::Exclude, &["gone", "t"][..]),
        (Deleted::Include, &["gone", "t"]),
        (Deleted::Only, &["gone"]),
    ] {
        assert_eq!(ask(&state, &Page { deleted, ..Page::default() }).await.unwrap().0, expected);
    }
}

/// What a page of so many looks at, from behind item `number` on: the first and the last of it.
fn looked_at(state: &State, asked: &Page, number: Option<usize>) -> (usize, usize) {
    let from = Urn::global(Kind::Tenant, "");
    let seen = number.map(name).unwrap_or_default();
    let mut found = Found { objects: Vec::new(), seen, more: true };
    slice(state, &all(&from, asked), &mut found);
    let first = number.map_or(0, |number| number + 1);
    assert_eq!(found.objects.first().map(|object| object.urn.name.clone()), Some(name(first)));
    (found.objects.len(), found.seen[1..].parse::<usize>().unwrap() - first + 1)
}

/// The work of a page is that of its items, wherever it begins and however many there are besides: in looks, in bytes, and, as
/// far as a clock tells without being asked for much, in time.
#[tokio::test]
async fn a_page_of_a_hundred_thousand_is_no_more_work_than_one_of_a_thousand() {
    const LARGE: usize = 100_000;
    let (small, large) = (tenants(0..1000, &[]), tenants(0..LARGE, &[]));
    let asked = page(100, Some("n>=0"), None);
    assert_eq!(looked_at(&small, &asked, None), (100, 100));
    for number in [None, Some(1), Some(LARGE / 2), Some(LARGE - 500), Some(LARGE - 102)] {
        assert_eq!(looked_at(&large, &asked, number), (100, 100), "behind {number:?}");
    }
    // A hundred more, and the end is looked for no further.
    assert_eq!(looked_at(&large, &page(1, None, None), Some(7)), (1, 1));

    let from = Urn::global(Kind::Tenant, "");
    let places = [(&small, 400), (&large, 400), (&large, LARGE / 2), (&large, LARGE - 500)];
    let mut bytes = BTreeSet::new();
    for (state, number) in places {
        let page =
            Page { skip_token: Some(token::write(&sealer(), &from, &asked, &name(number))), ..asked.clone() };
        let lists = Lists::new(Arc::new(Shown::new()));
        let show =
            || Presentation { public_url: "", providers: &[], verb: "GET", operator: false, verdicts: None };
        let soon = Instant::now() + Duration::from_secs(60);
        let text = lists.list(state, &all(&from, &page), &show, &sealer(), soon).await.unwrap().bytes();
        // The number of each is in a label as it is.
        bytes.insert(text.len() - 100 * (number.to_string().len() - 3));
    }
    assert_eq!(bytes.len(), 1, "{bytes:?}");
    // Of finding them alone, the least of many times: a walk from the beginning takes some hundred times as long.
    let mut least = [Duration::MAX; 4];
    for _ in 0..50 {
        for (least, (state, number)) in least.iter_mut().zip(places) {
            let start = std::time::Instant::now();
            looked_at(state, &asked, Some(number));
            *least = (*least).min(start.elapsed());
        }
    }
    for took in least {
        assert!(took < least[0] * 10, "{least:?}");
    }
}

/// A token that was given before others wrote leads to where it led: behind the same name, whatever has become of that.
#[tokio::test]
async fn a_token_stays_where_it_is_whatever_is_written() {
    let before = tenants(0..10_000, &[]);
    let (_, token) = ask(&before, &page(100, None, None)).await.unwrap();
    let others = |number: &usize| *number < 95 || *number > 105 || number.is_multiple_of(2);
    for (after, first) in [
        (tenants(0..10_000, &[]), 100),
        (tenants(100..10_000, &[]), 100),
        (tenants(0..100_000, &[]), 100),
        (tenants((0..10_000).filter(others), &[]), 100),
        (tenants((0..10_000).filter(|number| *number < 50 || *number > 200), &[]), 201),
        (tenants(0..100, &[]), usize::MAX),
    ] {
        let (names, _) = ask(&after, &page(100, None, token.clone())).await.unwrap();
        assert_eq!(names.first(), (first < usize::MAX).then(|| name(first)).as_ref());
    }
}

/// `cargo test --release -p rempart-controller --lib of_a_large_collection -- --ignored --nocapture`
#[tokio::test]
#[ignore = "figures of a large collection; run by hand, optimised"]
async fn a_page_of_a_large_collection_costs_the_same_at_both_ends() {
    let total = 100_000;
    let state = tenants(0..total, &[total - 1]);
    let token_at = |number: usize| {
        token::write(&sealer(), &Urn::global(Kind::Tenant, ""), &page(100, None, None), &name(number))
    };
    let measure = async |asked: Page| {
        let mut times = Vec::new();
        for _ in 0..200 {
            let start = std::time::Instant::now();
            ask(&state, &asked).await.unwrap();
            times.push(start.elapsed());
        }
        times.sort();
        times[times.len() / 2]
    };
    let first = measure(page(100, None, None)).await;
    let last = measure(page(100, None, Some(token_at(total - 150)))).await;
    let search = measure(page(100, Some("rare=yes"), None)).await;
    let pattern = measure(page(100, Some("*are=y*s*,n>5"), None)).await;
    eprintln!(
        "100 of {total}: first {first:?}, last {last:?}; one at the end: {search:?}, by pattern {pattern:?}"
    );
    let ratio = last.as_secs_f64() / first.as_secs_f64();
    assert!((0.5..2.0).contains(&ratio), "first {first:?}, last {last:?}");
}

/// What is long ends a page, and hides nothing.
#[tokio::test]
async fn pages_have_a_bound_in_bytes() {
    let pattern = tenant("t");
    let note = "x".repeat(1_000_000);
    let objects = (0..30).map(|number| {
        let urn = Arc::new(Urn::global(Kind::Tenant, &name(number)));
        let annotations = StringMap::from([("note".to_owned(), note.clone())]);
        Object { urn, uid: Uuid::now_v7(), annotations, ..pattern.clone() }
    });
    let state = State::load(rempart_model::Core::default(), 1, objects, []);
    let (mut seen, mut token, mut pages) = (Vec::new(), None, 0);
    loop {
        let (names, next) = ask(&state, &page(100, None, token)).await.unwrap();
        assert!(
            !names.is_empty() && names.len() * note.len() < PAGE_BYTES + 2 * note.len(),
            "{}",
            names.len()
        );
        seen.extend(names);
        pages += 1;
        token = next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..30).map(name).collect::<Vec<_>>());
    assert_eq!(pages, 4);
}
