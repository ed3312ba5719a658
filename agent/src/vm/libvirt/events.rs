//! libvirt's event loop and callbacks, which `virt` does not wrap. The only unsafe code of the agent's `vm`.
//!
//! libvirt wants an event loop implementation registered before the first connection, for the whole life of the
//! process, and run without pause: it carries keepalive, close notices and domain events. Callbacks run on its
//! thread, and only ever ring; they call nothing of libvirt that takes a lock or asks libvirtd.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;
use uuid::Uuid;
use virt::connect::Connect;
use virt::error::Error;
use virt::sys;

/// Between two runs of a loop that fails, so that it does not spin.
const LOOP_RETRY: Duration = Duration::from_millis(100);

/// Who wants to know. Called on libvirt's event thread: must not block, nor call libvirt, nor drop the last handle
/// of anything of libvirt's.
pub(super) trait Listener: Send + Sync {
    /// A domain was defined, started, stopped, rebooted, ...; which, where libvirt said so.
    fn domain_changed(&self, uuid: Option<Uuid>);
    /// The connection is dead; says why.
    fn closed(&self, reason: &'static str);
}

/// Starts the event loop, once per process.
pub(super) fn run_loop() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let start = || {
        // Otherwise libvirt prints every error to stderr besides returning it.
        virt::error::clear_error_callback();
        virt::event::event_register_default_impl().map_err(|error| error.message().to_owned())?;
        let spawned = thread::Builder::new().name("libvirt-events".into()).spawn(|| {
            loop {
                if let Err(error) = virt::event::event_run_default_impl() {
                    tracing::error!(error = error.message(), "libvirt's event loop failed; running it again");
                    thread::sleep(LOOP_RETRY);
                }
            }
        });
        spawned.map(drop).map_err(|error| format!("no thread for libvirt's event loop: {error}"))
    };
    STARTED.get_or_init(start).clone()
}

/// Callbacks registered on one connection. libvirt's side of them holds a reference to the connection, so one that
/// is not ended leaks it.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    domain_callbacks: Vec<c_int>,
    close_callback: bool,
}

impl Subscription {
    /// Has `listener` told of the end of `connect` and of what happens to any domain. Whatever was registered before
    /// an error is in `self`, to be ended like the rest.
    pub(super) fn begin(&mut self, connect: &Connect, listener: &Arc<dyn Listener>) -> Result<(), Error> {
        let opaque = into_opaque(listener);
        // SAFETY: `connect` is open. libvirt keeps `opaque` until it calls `free_opaque` with it, once; on failure
        // it does not call it, and we free.
        let outcome = unsafe {
            sys::virConnectRegisterCloseCallback(connect.as_ptr(), Some(on_close), opaque, Some(free_opaque))
        };
        self.close_callback = registered(outcome, opaque)? >= 0;

        // SAFETY: libvirt declares callbacks of all events as the generic type and calls each with the arguments of
        // its event id; for lifecycle these are the parameters of `on_lifecycle`.
        let lifecycle = unsafe { std::mem::transmute::<LifecycleCallback, GenericCallback>(on_lifecycle) };
        for (event, callback) in
            [(sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle), (sys::VIR_DOMAIN_EVENT_ID_REBOOT, on_reboot)]
        {
            let opaque = into_opaque(listener);
            // SAFETY: as above; a null domain means all domains, and `callback` is of the type that `event` wants.
            let outcome = unsafe {
                sys::virConnectDomainEventRegisterAny(
                    connect.as_ptr(),
                    std::ptr::null_mut(),
                    c_int::try_from(event).unwrap_or(-1),
                    Some(callback),
                    opaque,
                    Some(free_opaque),
                )
            };
            self.domain_callbacks.push(registered(outcome, opaque)?);
        }
        Ok(())
    }

    /// Unregisters everything. On a dead connection libvirt does its own part and then reports that it could not
    /// tell the other side, which is of no interest.
    pub(super) fn end(&mut self, connect: &Connect) {
        for id in self.domain_callbacks.drain(..) {
            // SAFETY: `connect` is not closed yet, and `id` is one of its registrations.
            unsafe { sys::virConnectDomainEventDeregisterAny(connect.as_ptr(), id) };
        }
        if std::mem::take(&mut self.close_callback) {
            // SAFETY: as above. libvirt drops this registration by itself after a close notice; then this fails.
            unsafe { sys::virConnectUnregisterCloseCallback(connect.as_ptr(), Some(on_close)) };
        }
    }
}

/// Libvirt's answer to a registration.
fn registered(outcome: c_int, opaque: *mut c_void) -> Result<c_int, Error> {
    if outcome >= 0 {
        return Ok(outcome);
    }
    let error = Error::last_error();
    // SAFETY: the registration failed, so libvirt has not kept `opaque` and nobody else will free it.
    unsafe { free_opaque(opaque) };
    Err(error)
}

type GenericCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
type LifecycleCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;

/// A listener as libvirt can hold it: a thin pointer.
fn into_opaque(listener: &Arc<dyn Listener>) -> *mut c_void {
    Box::into_raw(Box::new(Arc::clone(listener))).cast()
}

/// # Safety
/// `opaque` comes from [`into_opaque`] and is not freed yet.
unsafe fn listener<'a>(opaque: *mut c_void) -> &'a Arc<dyn Listener> {
    // SAFETY: by the caller; nothing makes a mutable reference to it.
    unsafe { &*opaque.cast::<Arc<dyn Listener>>() }
}

unsafe extern "C" fn free_opaque(opaque: *mut c_void) {
    // SAFETY: libvirt (or `registered`) calls this once for each pointer from `into_opaque`, and last.
    drop(unsafe { Box::from_raw(opaque.cast::<Arc<dyn Listener>>()) });
}

/// Reads it from the handle itself: nothing is asked of libvirtd, and none of libvirt's locks is taken.
///
/// # Safety
/// `domain` is a domain of libvirt's.
unsafe fn uuid_of(domain: sys::virDomainPtr) -> Option<Uuid> {
    let mut bytes = [0; 16];
    // SAFETY: by the caller; VIR_UUID_BUFLEN is 16.
    let outcome = unsafe { sys::virDomainGetUUID(domain, bytes.as_mut_ptr()) };
    (outcome == 0).then(|| Uuid::from_bytes(bytes))
}

unsafe extern "C" fn on_lifecycle(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: libvirt passes what was registered, before it frees it, and a domain that lives as long as this call.
    unsafe { listener(opaque).domain_changed(uuid_of(domain)) };
    0
}

unsafe extern "C" fn on_reboot(_connect: sys::virConnectPtr, domain: sys::virDomainPtr, opaque: *mut c_void) {
    // SAFETY: as in `on_lifecycle`.
    unsafe { listener(opaque).domain_changed(uuid_of(domain)) };
}

unsafe extern "C" fn on_close(_connect: sys::virConnectPtr, reason: c_int, opaque: *mut c_void) {
    let reason = match c_uint::try_from(reason) {
        Ok(sys::VIR_CONNECT_CLOSE_REASON_EOF) => "it closed the connection",
        Ok(sys::VIR_CONNECT_CLOSE_REASON_KEEPALIVE) => "it has stopped answering keepalive messages",
        Ok(sys::VIR_CONNECT_CLOSE_REASON_CLIENT) => "the agent closed the connection",
        _ => "the connection failed",
    };
    // SAFETY: as in `on_lifecycle`.
    unsafe { listener(opaque) }.closed(reason);
}
