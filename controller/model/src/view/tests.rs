use rempart_api::compute::{InstanceSpec, InstanceStatus};
use rempart_api::network::{
    NetworkStatus, NicStatus, PublicIpStatus, RouteTableStatus, SecurityGroupStatus, SubnetStatus,
};
use rempart_api::storage::{BlockStorageStatus, ImageStatus};
use rempart_api::tenancy::UsageStatus;
use rempart_api::workspace::WorkspaceStatus;

use super::*;
use crate::fixture::*;
use serde_json::json;

const SHOW: Presentation<'_> = Presentation {
    public_url: "https://cloud.example.eu",
    providers: &["seca.compute", "rempart.fleet"],
    verb: "GET",
    operator: false,
    verdicts: None,
};

/// A world with one of every kind, and the URN of each.
fn furnished() -> (World, Vec<Urn>) {
    let mut world = World::with_running_instance();
    let network = network("n1");
    let nested = |kind, name: &str| Urn::network(kind, "t1", "w1", "n1", name);
    let route = json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/g"});
    let gateway = Urn::workspace(Kind::InternetGateway, "t1", "w1", "g");
    let (table, subnet) = (nested(Kind::RouteTable, "rt"), nested(Kind::Subnet, "s"));
    let image = Urn::tenant(Kind::Image, "t1", "i");
    let cidr = json!({"ipv4": "10.0.0.0/16"});
    world.created(
        &network,
        json!({"cidr": cidr, "additionalCidrs": [{"ipv6": "fd00::/56"}], "skuRef": "n1k"}),
    );
    world.created(&gateway, json!({}));
    world.created(&table, json!({"routes": [route]}));
    world.created(&subnet, json!({"cidr": {"ipv4": "10.0.1.0/24"}, "routeTableRef": "rt", "zone": "a"}));
    world.created(&volume("blank"), volume_spec(1));
    let source = "workspaces/w1/block-storages/blank";
    world.created(&image, json!({"blockStorageRef": source, "cpuArchitecture": "amd64"}));
    let mut urns =
        vec![workspace("w1"), instance("vm"), volume("boot"), network, gateway, table, subnet, image];
    urns.extend([
        Urn::global(Kind::Region, "eu-1"),
        Urn::global(Kind::Tenant, "t1"),
        Urn::global(Kind::Host, "h1"),
    ]);
    let (account, revocation) =
        (Urn::tenant(Kind::ServiceAccount, "t1", "a"), Urn::global(Kind::TokenRevocation, "r"));
    world.created(&account, json!({}));
    world.created(&revocation, json!({"subject": "bob"}));
    urns.extend([account, revocation]);
    let pool = Urn::global(Kind::AddressPool, "p");
    let here = |kind, name: &str| Urn::workspace(kind, "t1", "w1", name);
    let (nic, public) = (here(Kind::Nic, "nic"), here(Kind::PublicIp, "ip"));
    let (group, rule) = (here(Kind::SecurityGroup, "group"), here(Kind::SecurityGroupRule, "rule"));
    world.created(&pool, json!({"blocks": ["203.0.113.0/30"]}));
    world.created(&public, json!({"version": "IPv4"}));
    world.created(&rule, json!({"direction": "ingress"}));
    world.created(&group, json!({"rules": [{"direction": "egress"}], "ruleRefs": ["rule"]}));
    let spec = json!({"subnetRef": "subnets/s", "publicIpRefs": ["ip"], "securityGroupRefs": ["group"]});
    world.created(&nic, spec);
    let (role, assignment) =
        (Urn::tenant(Kind::Role, "t1", "r"), Urn::tenant(Kind::RoleAssignment, "t1", "r"));
    let reads = json!({"provider": "seca.compute", "resources": ["*"], "verb": ["get"]});
    world.created(&role, json!({ "permissions": [reads] }));
    world.created(&assignment, json!({"roles": ["r"], "subs": ["bob"], "scopes": [{}]}));
    let quota = Urn::tenant(Kind::WorkspaceQuota, "t1", "w1");
    world.created(&quota, json!({"quota": {"instances": 3}}));
    urns.extend([quota, role, assignment, Urn::tenant(Kind::Role, "t1", "seca.admin")]);
    urns.extend([pool, nic, public, group, rule]);
    urns.extend([
        Urn::tenant(Kind::InstanceSku, "t1", "seca.dxs"),
        Urn::tenant(Kind::StorageSku, "t1", "rd100"),
        Urn::tenant(Kind::NetworkSku, "t1", "n1k"),
    ]);
    (world, urns)
}

fn named(world: &World, object: &Object, asked: &Urn) -> ResourceView {
    view_in(&world.state, object, asked, SHOW, circumstances(&world.state, object, SHOW))
}

fn shown(world: &World, urn: &Urn) -> Value {
    let object = world.state.get_visible(urn).unwrap_or_else(|| panic!("{urn} is not visible"));
    serde_json::to_value(named(world, object, urn)).unwrap()
}

#[test]
fn every_kind_has_the_metadata_of_its_variant() {
    let (world, urns) = furnished();
    for row in Kind::table() {
        let urn = urns.iter().find(|urn| urn.kind == row.kind).unwrap_or_else(|| panic!("no {}", row.name));
        let metadata = shown(&world, urn)["metadata"].clone();
        let common = ["apiVersion", "kind", "name", "provider", "ref", "resource", "verb"];
        let dated = ["createdAt", "lastModifiedAt", "resourceVersion"];
        let scope: &[&str] = match row.metadata {
            MetadataVariant::Global => &[],
            MetadataVariant::GlobalTenant => &["tenant"],
            MetadataVariant::Regional | MetadataVariant::Sku => &["tenant", "region"],
            MetadataVariant::RegionalWorkspace => &["tenant", "region", "workspace"],
            MetadataVariant::RegionalNetwork => &["tenant", "region", "workspace", "network"],
        };
        let dated: &[&str] = if row.metadata == MetadataVariant::Sku { &[] } else { &dated };
        let mut expected: Vec<&str> = common.iter().chain(dated).chain(scope).copied().collect();
        expected.sort_unstable();
        let fields: Vec<&String> = metadata.as_object().unwrap().keys().collect();
        assert_eq!(fields, expected, "{}", row.name);
        assert_eq!(metadata["apiVersion"], "v1");
        assert_eq!(metadata["kind"], row.name);
        assert_eq!(metadata["provider"], row.provider.id());
        assert_eq!(metadata["ref"], urn.to_string());
        assert_eq!(metadata["verb"], "GET");
    }
}

#[test]
fn every_status_has_its_state_and_history_and_the_others_have_none() {
    let (world, urns) = furnished();
    for urn in &urns {
        let view = shown(&world, urn);
        if urn.kind.info().has_status {
            assert_eq!(view["status"]["state"], "active", "{urn}");
            assert!(
                view["status"]["conditions"].as_array().is_some_and(|history| history.len() >= 3),
                "{urn}"
            );
        } else {
            assert!(view.get("status").is_none(), "{urn}");
        }
    }
}

/// What clients read a status with is what it is made of: nothing more, nothing less.
#[test]
fn every_status_is_of_its_kinds_type() {
    fn again<T: serde::Serialize + serde::de::DeserializeOwned>(view: &ResourceView) -> Value {
        serde_json::to_value(view.status_as::<T>().unwrap()).unwrap()
    }
    let (world, urns) = furnished();
    for urn in urns.iter().filter(|urn| urn.kind.info().has_status) {
        let view = named(&world, world.state.get_visible(urn).unwrap(), urn);
        let read = match urn.kind {
            Kind::Workspace => again::<WorkspaceStatus>(&view),
            Kind::Instance => again::<InstanceStatus>(&view),
            Kind::BlockStorage => again::<BlockStorageStatus>(&view),
            Kind::Image => again::<ImageStatus>(&view),
            Kind::Network => again::<NetworkStatus>(&view),
            Kind::Subnet => again::<SubnetStatus>(&view),
            Kind::RouteTable => again::<RouteTableStatus>(&view),
            Kind::Nic => again::<NicStatus>(&view),
            Kind::PublicIp => again::<PublicIpStatus>(&view),
            Kind::SecurityGroup => again::<SecurityGroupStatus>(&view),
            Kind::Tenant | Kind::WorkspaceQuota => again::<UsageStatus>(&view),
            // Beside the history, all of `HostStatus`.
            Kind::Host => {
                view.status_as::<HostStatus>().unwrap();
                continue;
            }
            _ => again::<Status>(&view),
        };
        assert_eq!(Some(&read), view.status.as_ref(), "{urn}");
    }
    let spec: InstanceSpec = named(&world, world.get(&instance("vm")), &instance("vm")).spec_as().unwrap();
    assert_eq!(spec.zone, "a");
}

#[test]
fn the_concrete_values_are_those_of_the_contract() {
    let (world, urns) = furnished();
    let subnet = shown(&world, urns.iter().find(|urn| urn.kind == Kind::Subnet).unwrap());
    assert_eq!(subnet["metadata"]["resource"], "networks/n1/subnets/s");
    assert_eq!(subnet["metadata"]["ref"], "seca.network/v1/tenants/t1/workspaces/w1/networks/n1/subnets/s");
    assert_eq!(subnet["status"]["cidr"], json!({"ipv4": "10.0.1.0/24"}));
    let table = "seca.network/v1/tenants/t1/workspaces/w1/networks/n1/route-tables/rt";
    assert_eq!(subnet["status"]["routeTableRef"], json!({"resource": table}));
    let network = shown(&world, &network("n1"));
    assert_eq!(network["status"]["cidr"], json!({"ipv4": "10.0.0.0/16"}));
    assert_eq!(network["status"]["additionalCidrs"], json!([{"ipv6": "fd00::/56"}]));
    let volume = shown(&world, &volume("boot"));
    let vm = "seca.compute/v1/tenants/t1/workspaces/w1/instances/vm";
    assert_eq!(volume["status"]["attachedTo"], json!({"resource": vm}));
    assert_eq!(volume["status"]["sizeGB"], 1);
    assert_eq!(volume["spec"]["skuRef"], json!({"resource": "skus/rd100"}), "as sent, always an object");
    let instance = shown(&world, &instance("vm"));
    assert_eq!(
        (&instance["status"]["powerState"], &instance["metadata"]["resourceVersion"]),
        (&json!("on"), &json!(2))
    );
    assert_eq!(shown(&world, &workspace("w1"))["status"]["resourceCount"], 11, "with what is in its network");
    let image = shown(&world, &Urn::tenant(Kind::Image, "t1", "i"));
    assert_eq!(image["status"]["sizeMB"], 1024);
    let host = shown(&world, &Urn::global(Kind::Host, "h1"));
    assert_eq!(host["status"]["allocated"], json!({"vcpus": 1, "memoryMiB": 1024, "diskMiB": 1024}));
    assert_eq!(host["status"]["host"]["memoryMiB"], 16 << 10);
}

#[test]
fn what_the_shared_catalogue_holds_appears_under_the_askers_tenant() {
    let world = World::new();
    let own = Urn::tenant(Kind::InstanceSku, "t1", "seca.dxs");
    let view = shown(&world, &own);
    assert_eq!(view["metadata"]["tenant"], "t1");
    assert_eq!(view["metadata"]["ref"], "seca.compute/v1/tenants/t1/skus/seca.dxs");
    assert_eq!(view["metadata"]["region"], "eu-1");
    assert_eq!(view["spec"], json!({"vCPU": 1, "ram": 1}));
    let original = named(&world, world.state.get_visible(&own).unwrap(), &own);
    assert_eq!(serde_json::to_value(original).unwrap(), view);
    for spelling in ["SECA.DXS", "dxs", "DXS", "seca.dxs"] {
        for tenant in ["t1", "public"] {
            let found = world.state.get_visible(&Urn::tenant(Kind::InstanceSku, tenant, spelling));
            assert_eq!(
                found.unwrap().urn.name,
                "seca.dxs",
                "what a reference finds, a path finds: {spelling}"
            );
        }
    }
    assert!(world.state.get_visible(&Urn::tenant(Kind::InstanceSku, "t1", "none")).is_none());
}

#[test]
fn a_tenants_own_sku_hides_the_shared_one_and_images_are_not_aliased() {
    let mut world = World::new();
    let own = Urn::tenant(Kind::InstanceSku, "t1", "seca.dxs");
    world.created(&own, json!({"vCPU": 9, "ram": 9}));
    assert_eq!(shown(&world, &own)["spec"]["vCPU"], 9);
    world.created(&Urn::tenant(Kind::Workspace, "public", "w"), json!({}));
    world.created(&Urn::workspace(Kind::BlockStorage, "public", "w", "v"), volume_spec(1));
    let image = json!({"blockStorageRef": "workspaces/w/block-storages/v", "cpuArchitecture": "amd64"});
    world.created(&Urn::tenant(Kind::Image, "public", "i"), image);
    assert!(world.state.get_visible(&Urn::tenant(Kind::Image, "t1", "i")).is_none());
}

#[test]
fn a_region_advertises_the_providers_of_this_installation() {
    let world = World::new();
    let region = shown(&world, &Urn::global(Kind::Region, "eu-1"));
    let url = |name: &str| format!("https://cloud.example.eu/providers/{name}");
    let provider = |name: &str| json!({"name": name, "version": "v1", "url": url(name)});
    assert_eq!(region["spec"]["providers"], json!([provider("seca.compute"), provider("rempart.fleet")]));
    assert_eq!(region["spec"]["availableZones"], json!(["a", "b"]));
}

#[test]
fn empty_maps_are_absent_and_others_are_as_sent() {
    let mut world = World::new();
    let mut put = world.put_command(&workspace("w2"), json!({}));
    put.labels.insert("env".into(), "prod".into());
    world.apply(crate::Command::Put(Box::new(put))).unwrap();
    let view = shown(&world, &workspace("w2"));
    assert_eq!(view["labels"], json!({"env": "prod"}));
    assert!(view.get("annotations").is_none() && view.get("extensions").is_none());
    assert_eq!(view["spec"], json!({}));
}

#[test]
fn each_audience_reads_its_own_words() {
    let mut world = World::with_running_instance();
    world.lose("h1");
    let object = world.get(&instance("vm"));
    let message = |operator| {
        let view = view(&world.state, object, Presentation { operator, ..SHOW });
        view.status.unwrap()["conditions"][0]["message"].as_str().unwrap().to_owned()
    };
    assert!(message(true).contains("h1") && !message(false).contains("h1"));
    assert_eq!(shown(&world, &instance("vm"))["status"]["conditions"][0]["reason"], "HostUnreachable");
}

#[test]
fn a_deletion_shows_when_it_was_asked_for() {
    let mut world = World::with_active_instance();
    assert!(shown(&world, &instance("vm"))["metadata"].get("deletedAt").is_none());
    world.deleted(&instance("vm"));
    let view = shown(&world, &instance("vm"));
    assert_eq!(view["metadata"]["deletedAt"], json!(world.state.core().clock));
    assert_eq!(view["status"]["state"], "deleting");
}
