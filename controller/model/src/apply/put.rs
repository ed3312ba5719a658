//! PUT: create or replace.

use std::sync::Arc;

use rempart_api::storage::BlockStorageSpec;
use rempart_api::{Kind, Phase, Status, StringMap};

use super::compare::check_there;
use super::{Tx, check_version, resumed};
use crate::answer::{Answer, Outcome};
use crate::command::{FillCommand, PutCommand};
use crate::kinds::{Spec, check_digest};
use crate::object::{Detail, OBJECT_SCHEMA, Object};
use crate::placement;
use crate::refusal::{Fault, Refusal, RefusalClass};
use crate::transition::{Step, stand};

impl Tx {
    pub(super) fn put(&mut self, put: &PutCommand) -> Outcome {
        self.check_parent(&put.urn)?;
        let old = self.state.get(&put.urn).cloned();
        if let Some(old) = &old {
            if old.is_deleting() {
                return Err(Refusal::conflict(format!(
                    "{} is being deleted; its name is free again once a GET answers 404",
                    put.urn
                )));
            }
            check_version(old, put.if_unmodified_since)?;
        } else if put.if_unmodified_since.is_some() {
            return Err(Refusal::new(
                RefusalClass::PreconditionFailed,
                format!(
                    "{} does not exist, so it has no version to compare; leave out if-unmodified-since to create it",
                    put.urn
                ),
            ));
        }
        self.check_rights(put, old.as_deref())?;
        self.check_body(put, old.as_deref())?;
        let created = old.is_none();
        let mut object = match old {
            Some(old) => (*old).clone(),
            None => {
                self.check_fresh(put.uid)?;
                Object {
                    schema: OBJECT_SCHEMA,
                    urn: Arc::new(put.urn.clone()),
                    uid: put.uid,
                    labels: StringMap::new(),
                    annotations: StringMap::new(),
                    extensions: StringMap::new(),
                    created_at: self.now,
                    modified_at: self.now,
                    deleted_at: None,
                    resource_version: 0,
                    changed_index: self.index,
                    spec: put.spec.clone(),
                    status: Status::default(),
                    detail: put.spec.new_detail(),
                    overdue: None,
                }
            }
        };
        let old_spec = (!created).then(|| object.spec.clone());
        object.labels.clone_from(&put.labels);
        object.annotations.clone_from(&put.annotations);
        object.extensions.clone_from(&put.extensions);
        object.spec = put.spec.clone();
        object.count_request(self.now);
        self.settle(object, old_spec.as_ref(), put.host.as_deref())
            .map(|object| Answer::Put { created, object })
    }

    /// Enters the states the PUT leads to; what needs no host work ends in `active` here and now.
    fn settle(
        &mut self,
        mut object: Object,
        old: Option<&Spec>,
        host: Option<&str>,
    ) -> Result<Arc<Object>, Refusal> {
        self.check_nics(&object)?;
        let work_before = !matches!(object.status.state, Phase::Active | Phase::Error) && old.is_some();
        match old {
            None => object.status.enter(Phase::Pending, self.now),
            // A PUT while creating or updating joins the open transition.
            Some(_) if work_before => {}
            // It fails as before.
            Some(_) if stand(&self.state, &object).is_some_and(|stand| stand.step == Step::Lost) => {}
            Some(_) => object.status.enter(resumed(&object.status), self.now),
        }
        match (&mut object.spec, old) {
            (Spec::Host(spec), _) => {
                // What is not said is the default from here on, whatever held before.
                Arc::make_mut(spec).overcommit.get_or_insert_default();
                return Ok(self.settle_host(object));
            }
            (Spec::Network(new), old) => {
                let new = new.clone();
                self.settle_network(&mut object, &new, old)?;
            }
            (Spec::Subnet(new), old) => {
                let new = new.clone();
                self.settle_subnet(&mut object, &new, old)?;
            }
            (Spec::RouteTable(_), _) => self.check_routes(&object)?,
            (Spec::Nic(new), _) => {
                let new = new.clone();
                self.settle_nic(&mut object, &new)?;
            }
            (Spec::PublicIp(new), _) => {
                let new = new.clone();
                self.settle_public_ip(&mut object, &new)?;
            }
            (Spec::Workspace(_), None) => self.assign_creator(&object),
            (Spec::AddressPool(_), old) => self.check_pool(&object, old)?,
            (Spec::Region(new), Some(Spec::Region(old))) => {
                self.check_left_zones(&object.urn, old, new)?;
                self.state.core.zones.clone_from(&new.available_zones);
                // The view says which providers there are.
                Arc::make_mut(new).providers.clear();
            }
            (Spec::Instance(_), None) => return self.settle_new_instance(object, host),
            (Spec::Instance(new), Some(Spec::Instance(old))) => {
                let (new, old) = (new.clone(), old.clone());
                return self.settle_changed_instance(object, &new, &old);
            }
            (Spec::BlockStorage(new), _) => {
                let new = new.clone();
                self.settle_volume(&mut object, &new, old)?;
                if matches!(&object.detail, Detail::Volume(volume) if volume.realised_size_gb.is_some()) {
                    return Ok(self.write(object));
                }
            }
            (Spec::Image(image), old) => {
                let source = self.state.resolve(&image.block_storage_ref, Kind::BlockStorage, &object.urn);
                let source = source.ok().filter(|_| old.is_none());
                if let Some(source) = source.and_then(|urn| self.state.get(&urn).cloned()) {
                    self.settle_new_image(&mut object, &source)?;
                }
                if matches!(&object.detail, Detail::Image(image) if image.source.is_some()) {
                    // The copy ends this transition, whatever is asked for meanwhile.
                    if old.is_none() {
                        object.status.enter(Phase::Creating, self.now);
                    }
                    return Ok(self.write(object));
                }
            }
            _ => {}
        }
        if old.is_none() {
            object.status.enter(Phase::Creating, self.now);
        }
        object.status.enter(Phase::Active, self.now);
        Ok(self.write(object))
    }

    fn settle_volume(
        &mut self,
        object: &mut Object,
        new: &BlockStorageSpec,
        old: Option<&Spec>,
    ) -> Result<(), Refusal> {
        let image = match &new.source_image_ref {
            Some(reference) if old.is_none() => {
                let urn = self.state.resolve(reference, Kind::Image, &object.urn);
                urn.ok().and_then(|urn| self.state.get(&urn).cloned())
            }
            _ => None,
        };
        let Detail::Volume(detail) = &mut object.detail else { return Ok(()) };
        if let Some(image) = image
            && let (Spec::Image(spec), Detail::Image(beside)) = (&image.spec, &image.detail)
        {
            if beside.source.is_some() {
                let why = format!("{} is not complete; try again when its state is active", image.urn);
                return Err(Refusal::conflict_at("/spec/sourceImageRef", why));
            }
            let needed_gb = beside
                .content
                .as_ref()
                .map_or(u64::from(beside.size_gb), |content| content.virtual_size_bytes.div_ceil(1 << 30));
            if u64::from(new.size_gb) < needed_gb {
                let why =
                    format!("the image needs at least {needed_gb} GB, {} GB was asked for", new.size_gb);
                return Err(Refusal::invalid(vec![Fault::new("/spec/sizeGB", why)]));
            }
            detail.content.clone_from(&beside.content);
            detail.boot = Some(spec.boot.unwrap_or_default());
        }
        if let Some(Spec::BlockStorage(old)) = old
            && old.size_gb != new.size_gb
        {
            let more_mib = u64::from(new.size_gb - old.size_gb) << 10;
            if let Some(placement) = &detail.placement
                && !placement::has_space(&self.state, &placement.host, more_mib)
            {
                let more_gb = new.size_gb - old.size_gb;
                let why = format!(
                    "there is no room for {more_gb} GB more where {} has its data; grow it by less",
                    object.urn
                );
                return Err(Refusal::conflict_at("/spec/sizeGB", why));
            }
            check_there(&object.urn, detail)?;
            detail.raise_generation(object.resource_version);
            if detail.realised.generation > 0 {
                detail.realised_size_gb.get_or_insert(old.size_gb);
            }
        }
        Ok(())
    }

    /// Says what a blank, unused volume contains (the end of an upload).
    pub(super) fn fill(&mut self, fill: &FillCommand) -> Outcome {
        let mut object = (*self.expect(&fill.urn)?).clone();
        if object.is_deleting() {
            return Err(Refusal::conflict(format!("{} is being deleted", fill.urn)));
        }
        let Spec::BlockStorage(spec) = &object.spec else {
            return Err(Refusal::conflict(format!("{} is not a block storage", fill.urn)));
        };
        let content = &fill.content;
        let mut faults = Vec::new();
        check_digest(&mut faults, "/sha256", &content.sha256);
        if content.size_bytes == 0 {
            faults.push(Fault::new("/sizeBytes", "must not be 0"));
        }
        if content.virtual_size_bytes == 0 || content.virtual_size_bytes > u64::from(spec.size_gb) << 30 {
            let why = format!(
                "must be 1 to the volume's {} GB, is {} bytes",
                spec.size_gb, content.virtual_size_bytes
            );
            faults.push(Fault::new("/virtualSizeBytes", why));
        }
        if !faults.is_empty() {
            return Err(Refusal::invalid(faults));
        }
        let in_use = self.state.referrers(&fill.urn).next().is_some();
        let has_source = spec.source_image_ref.is_some();
        // On this copy, which is written only if it is accepted.
        object.count_request(self.now);
        let Detail::Volume(detail) = &mut object.detail else { return Ok(Answer::Accepted) };
        if detail.content.as_ref() == Some(content) {
            return Ok(Answer::Accepted);
        }
        if has_source || detail.content.is_some() || detail.placement.is_some() || in_use {
            return Err(Refusal::conflict(format!(
                "{} has content or a user already; only a new, blank volume can be filled",
                fill.urn
            )));
        }
        detail.content = Some(content.clone());
        detail.raise_generation(object.resource_version);
        object.status.enter(Phase::Updating, self.now);
        object.status.enter(Phase::Active, self.now);
        self.write(object);
        Ok(Answer::Accepted)
    }
}
