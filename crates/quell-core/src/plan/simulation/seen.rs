//! What the seeds went through, counted, so that the simulation cannot silently become trivial.

macro_rules! seen {
    ($($name:ident),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Seen { $($name),+ }

        pub(super) const ALL: &[Seen] = &[$(Seen::$name),+];
    };
}

seen!(
    // Plans.
    KillFirst,
    MakeBeforeBreak,
    SharedValue,
    RevokeOnly,
    ValidOne,
    ValidTwo,
    ValidMany,
    ValidAlternate,
    IssuerChooses,
    Depends,
    NoStore,
    NoConsumer,
    NobodyApproves,
    OneApproves,
    TwoApprove,
    // Events.
    ApprovalRequested,
    ApprovalGranted,
    ApprovalRefused,
    StartedPerform,
    StartedObserve,
    Finished,
    Lost,
    Retried,
    Skipped,
    Resolved,
    HandedOver,
    // Flows.
    FlowDone,
    FlowPerformAgain,
    FlowObserveAgain,
    FlowStuck,
    // Outcomes.
    Applied,
    NotAppliedRetryable,
    NotAppliedRefused,
    Unknown,
    RetryAfter,
    // An unknown outcome or a lost attempt of each kind of step.
    DoubtCapture,
    DoubtLook,
    DoubtMint,
    DoubtInstall,
    DoubtProbeNew,
    DoubtStore,
    DoubtReload,
    DoubtConfirm,
    DoubtDisable,
    DoubtSever,
    DoubtProveRefused,
    DoubtProve,
    DoubtPurge,
    DoubtRetire,
    DoubtChannel,
    DoubtNotify,
    // Faults.
    CrashBeforeCommit,
    CrashBeforeAction,
    CrashBetweenActions,
    CrashInFlight,
    CrashBeforeReportCommit,
    Restart,
    Conflict,
    ConflictOnReport,
    StaleWorker,
    DeadlinePassed,
    WorkerLost,
    AnswerLost,
    EffectLost,
    GhostLanded,
    ReportDuplicated,
    ReportForeign,
    ReportByAnother,
    ReportOfTheDead,
    ClockBack,
    IssuerDown,
    IssuerDenies,
    IssuerPretends,
    NaiveConnector,
    // People.
    WrongHash,
    Expired,
    SamePerson,
    WrongState,
    Essential,
    // Ends.
    DoneUnderFaults,
    DoneWhenCalm,
    WaitedForPeople,
);

#[derive(Clone, Debug)]
pub(super) struct Coverage(Vec<u64>);

impl Coverage {
    pub(super) fn new() -> Self {
        Self(vec![0; ALL.len()])
    }

    pub(super) fn hit(&mut self, seen: Seen) {
        self.0[seen as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (Seen, u64)> {
        ALL.iter().copied().zip(self.0.iter().copied())
    }
}
