//! Words for what went wrong: `reason` is a stable name, `message` is for tenants, `detail` for operators.
//!
//! What never happens: `message` names a host, a path or an address, or repeats a tool's own words.

use crate::desired::wire::Invalid;
use crate::disk::DiskError;
use crate::execute::ActionError;
use crate::plan::Obstacle;
use crate::vm::HypervisorError;
use rempart_proto::agent::v1::Failure;
use uuid::Uuid;

fn failure(reason: &str, message: &str, detail: impl ToString) -> Failure {
    Failure { reason: reason.to_owned(), message: message.to_owned(), detail: detail.to_string() }
}

/// Why nothing can be done until something else changes.
pub fn of_obstacle(obstacle: &Obstacle) -> Failure {
    match obstacle {
        Obstacle::VolumeUnreadable(why) => {
            failure("VolumeUnreadable", "The volume cannot be read. An operator has to look at it.", why)
        }
        Obstacle::VolumeLost => failure(
            "VolumeLost",
            "The volume's data is not where it was. An operator has to look at it.",
            "a domain was defined on the volume, and its file is not there any more; it is not made anew",
        ),
        Obstacle::VolumeMismatch => failure(
            "VolumeMismatch",
            "The volume does not have the expected origin. An operator has to look at it.",
            "the volume's file stands on another base image than desired",
        ),
        Obstacle::ShrinkRefused => failure(
            "VolumeShrinkRefused",
            "The volume is larger than requested, and volumes never shrink.",
            "the file's virtual size is above the desired size",
        ),
        Obstacle::VolumeInUse => {
            failure("VolumeInUse", "The volume is still attached to an instance.", "a domain uses the volume")
        }
        Obstacle::UnexpectedDomain => failure(
            "VolumeMayBeInUse",
            "The volume may still be in use. An operator has to look at it.",
            "a domain of ours that the ledger does not hold might use the volume: see the unexpected domains",
        ),
        Obstacle::Volumes(volumes) => failure(
            "VolumeUnavailable",
            "A volume of the instance is not ready yet.",
            format!("waiting for volumes {volumes:?}"),
        ),
    }
}

/// Why a step failed.
pub fn of_error(error: &ActionError) -> Failure {
    match error {
        ActionError::Disk(disk) => of_disk_error(disk),
        ActionError::Hypervisor(HypervisorError::Unavailable(_)) => failure(
            "HypervisorUnavailable",
            "The hypervisor does not answer at the moment; it is tried again.",
            error,
        ),
        ActionError::Hypervisor(HypervisorError::Refused { action, .. }) => {
            failure(refusal(action), "The hypervisor refused the operation; it is tried again.", error)
        }
        ActionError::Ledger(_) => failure("StorageFailed", "Storage failed; it is tried again.", error),
        ActionError::Panicked(_) => {
            failure("AgentFault", "An internal error occurred; it is tried again.", error)
        }
    }
}

fn refusal(action: &str) -> &'static str {
    match action {
        "define" => "DefineFailed",
        "start" | "resume" => "StartFailed",
        "undefine" => "UndefineFailed",
        "grow a disk" => "VolumeGrowFailed",
        _ => "PowerFailed",
    }
}

fn of_disk_error(error: &DiskError) -> Failure {
    match error {
        _ if error.is_out_of_space() => {
            failure("PoolFull", "The host's volume pool is full; it is tried again.", error)
        }
        DiskError::ImageMissing(_) | DiskError::ImageFetchFailed { .. } => failure(
            "ImageFetchFailed",
            "The image could not be brought to where the volume is to be made; it is tried again.",
            error,
        ),
        DiskError::ImageRefused { .. } => failure(
            "ImageRefused",
            "The image is not what it was declared to be; it is fetched again.",
            error,
        ),
        DiskError::DepositFailed(_) => failure(
            "CopyNotTaken",
            "The copy of the volume could not be handed over yet; it is tried again.",
            error,
        ),
        DiskError::SeedTooLarge(_) => {
            failure("SeedTooLarge", "User data and SSH keys are too large together.", error)
        }
        DiskError::VolumeExists(_) | DiskError::Tool { .. } | DiskError::Layout(_) | DiskError::Io { .. } => {
            failure("StorageFailed", "Storage failed; it is tried again.", error)
        }
    }
}

/// A volume of the instance failed.
pub fn volume_unavailable(cause: &Failure) -> Failure {
    Failure {
        reason: "VolumeUnavailable".into(),
        message: format!("A volume of the instance is not available: {}", cause.message),
        detail: format!("{}: {}", cause.reason, cause.detail),
    }
}

/// A volume of the instance is not desired on this host.
pub fn volume_not_desired(volume: Uuid) -> Failure {
    failure(
        "VolumeMissing",
        "A volume of the instance is not available.",
        format!("volume {volume} is not desired on this host"),
    )
}

/// The object's record in the ledger was lost.
pub fn ledger_damaged() -> Failure {
    failure(
        "LedgerDamaged",
        "Its state has to be sent again.",
        "the ledger's record was damaged and set aside as *.damaged",
    )
}

/// The object as sent makes no sense.
pub fn desired_invalid(invalid: &Invalid) -> Failure {
    failure("DesiredInvalid", "The requested configuration is not possible.", &invalid.why)
}
