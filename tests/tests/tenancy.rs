//! A tenant is suspended, and deleted with all that is in it: its guest, too.

use rempart_api::client::ClientError;
use rempart_api::{Kind, Urn};
use rempart_tests::{Lab, PATIENCE, instance, until_some, volume};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_goes_with_its_guests_and_not_by_a_slip() {
    let lab = Lab::open(1).await;
    let tenant = Urn::global(Kind::Tenant, "acme");
    let before = lab.domains();
    lab.create("web", json!({})).await;
    lab.active(&instance("web")).await;
    lab.new_domain(&before).await;
    lab.alice.act(&instance("web"), "start").await.expect("accepted");
    let power = |power: &'static str| {
        move |status: &serde_json::Value| status["powerState"] == power && status["state"] == "active"
    };
    lab.status(&instance("web"), "to be on", power("on")).await;

    let slip = lab.operator.delete(&tenant).await.expect_err("it holds something");
    assert!(slip.to_string().contains("Suspend it first"), "{slip}");

    let suspended = json!({ "spec": { "owners": ["alice"], "suspended": true } });
    lab.operator.put(&tenant, &suspended).await.expect("suspended");
    lab.status(&instance("web"), "to be off", power("off")).await;
    match lab.alice.act(&instance("web"), "start").await {
        Err(ClientError::Problem(problem)) => {
            assert!(problem.status == 403 && problem.detail.contains("is suspended"), "{problem:?}");
        }
        other => panic!("{other:?}"),
    }
    lab.operator.put(&tenant, &json!({ "spec": { "owners": ["alice"] } })).await.expect("back");
    lab.alice.act(&instance("web"), "start").await.expect("it is hers again");
    lab.status(&instance("web"), "to be on again", power("on")).await;

    lab.operator.put(&tenant, &suspended).await.expect("suspended");
    lab.operator.delete(&tenant).await.expect("now it goes");
    until_some("the tenant to be gone", PATIENCE, || async {
        match lab.operator.get(&tenant).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!((lab.domains(), lab.volumes().len()), (before, 0), "nothing of it is left on the host");
    for urn in [instance("web"), volume("web")] {
        let status = lab.alice.get(&urn).await.expect_err("she is a stranger now").status();
        assert_eq!(status, Some(403), "{urn}");
    }
}
