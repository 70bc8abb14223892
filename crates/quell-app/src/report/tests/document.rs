//! The whole document of one incident.

use super::report;
use super::story::closed;

#[test]
#[expect(clippy::too_many_lines, reason = "a whole document")]
fn a_contained_and_closed_incident() {
    insta::assert_snapshot!(report(&closed()), @r#"
    # Post-mortem INC-2026-0001: orders-db was pushed to a public repository

    - **Status:** closed; contained: every secret is proven inert at its issuer.
    - **Severity:** SEV-1.
    - **Was it used?** no evidence of use, but the logs are incomplete (the proxy kept 6 hours only).

    The old password is dead; orders-api runs on a new one.

    This report is blameless. People appear as those who decided or did something, never as a cause. It asks which system,
    default or missing gate made the leak possible, and what will stop the next one.

    Times are UTC; T is the declaration. Made 2026-11-22T04:15:02Z from the ledger alone. Quell puts no value of a secret into it:
    values are named by their fingerprints.

    ## Numbers

    | moment | when | took |
    | --- | --- | --- |
    | first exposed | 2026-11-21T17:00:00Z (T-10 h) | — |
    | discovered | 2026-11-22T02:55:00Z (T-5 min) | 9 h 55 min after the first exposure |
    | declared | 2026-11-22T03:00:00Z (T+0 s) | 5 min after the discovery |
    | first response | 2026-11-22T03:03:00Z (T+3 min) | 3 min after the declaration |
    | contained: the last proof that was needed | 2026-11-22T03:05:02Z (T+5 min 2 s) | **time to inert: 5 min 2 s** after the declaration |
    | closed | 2026-11-22T04:15:02Z (T+1 h 15 min) | 1 h 15 min after the declaration |

    It was exposed and not proven dead for 10 h 5 min.

    ## Severity and why

    | when | severity | reasons, strictest first |
    | --- | --- | --- |
    | 2026-11-22T03:00:00Z (T+0 s) | SEV-1 | SEV-1: a production secret is exposed publicly (pushed to a public repository), says S0 ladder SEV-1, S2 ladder P0; SEV-2: public repository without evidence of use, says S2 matrix (P1; the ladder's P0 wins) |

    ## What was exposed

    | secret | why it is here | state | compromised values | successor |
    | --- | --- | --- | --- | --- |
    | `orders-db` | it leaked | proven inert | `fp:4258457b93f4113bee5b7c7082fa6dbd` of orders_a (kv) | `fp:d97c3db2cc0717860a1f53647afa9c2c` of orders_b |

    Production is affected, or not ruled out.

    | channel | audience | place | first exposed | discovered | still visible? | value |
    | --- | --- | --- | --- | --- | --- | --- |
    | public-repo: pushed to a public repository | public | git:orders.git config/app.env:3 (finding F-0123456789ab) | 2026-11-21T17:00:00Z (T-10 h) | 2026-11-22T02:55:00Z (T-5 min) | no | `fp:4258457b93f4113bee5b7c7082fa6dbd` |

    ## Strategy and decisions

    **Strategy: make-before-break**, because ines chose make-before-break: orders must be taken at night.

    - Warning: reports are not made while the store is written

    | when | who | decision | reason or evidence |
    | --- | --- | --- | --- |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | plan 1 made: make-before-break, 11 steps | ines chose make-before-break: orders must be taken at night; plan a71bef5981fd |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | tom | orders-db.disable: approved by tom | plan a71bef5981fd, good until 2026-11-22T03:34:02Z |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | tom | orders-db.sever: approved by tom | plan a71bef5981fd, good until 2026-11-22T03:34:02Z |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | tom | orders-db.purge-0: approved by tom | plan a71bef5981fd, good until 2026-11-22T03:34:02Z |
    | 2026-11-22T03:15:02Z (T+15 min 2 s) | tom | verdict no-evidence-logs-incomplete: no evidence of use, but the logs are incomplete | the proxy kept 6 hours only; evidence proxy.log (120 bytes, SHA-256 abababababab…) |
    | 2026-11-22T04:15:02Z (T+1 h 15 min) | tom | incident closed | The old password is dead; orders-api runs on a new one. |

    ## Plan and steps

    Plan 1. Approvals bind to its hash `a71bef5981fdb022e62ecd56efb77bbc43f1effbe33e115c3df4d429691d4a8d`.

    | step | class | state | tries | took | unknown outcomes | approved by |
    | --- | --- | --- | --- | --- | --- | --- |
    | `orders-db.capture`: read what stores hold and consumers use now; seal the old value | read | applied | 1 | 0.12 s | 0 | none needed |
    | `orders-db.mint`: choose the successor and seal it | reversible | applied | 1 | 0.12 s | 0 | none needed |
    | `orders-db.install`: make the successor valid on postgres | reversible | applied | 1 + 1 look | 30 s | 1 | none needed |
    | `orders-db.probe-new`: log in to postgres with the successor | read | applied | 1 | 0.12 s | 0 | none needed |
    | `orders-db.store-0`: write the successor to kv | reversible | applied | 1 | 0.12 s | 0 | none needed |
    | `orders-db.reload-api`: api: SIGHUP | reversible | applied | 1 | 0.12 s | 0 | none needed |
    | `orders-db.confirm-api`: see by GET /healthz that api uses the successor | read | applied | 1 | 1.5 s | 0 | none needed |
    | `orders-db.disable`: make postgres refuse the old value | destructive | applied | 1 | 0.12 s | 0 | tom |
    | `orders-db.sever`: end every session on postgres that was opened with the old value | destructive | applied | 1 | 0.12 s | 0 | tom |
    | `orders-db.prove`: prove on postgres: old value refused with 28P01, the successor accepted by the same door, no live session; twice, 1000 ms apart | read | applied | 1 | 0.12 s | 0 | none needed |
    | `orders-db.purge-0`: destroy versions in kv that hold the old value | destructive | applied | 1 | 0.12 s | 0 | tom |

    "Took" counts from the first begin to the last answer, waiting included.

    ## Proof

    A proof counts when the issuer refuses each old value with its own refusal, accepts a control at the same door in the
    same round, says so again after its settling time, and no live session is left.

    ### orders-db: proven inert

    | when | result | door | old value | answers | sessions | control | settling time |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | NOT inert | postgres 127.0.0.1:5432/orders | `fp:4258457b93f4113bee5b7c7082fa6dbd` of orders_a | refused 28P01, ACCEPTED | 2 | successor: accepted, accepted | 1 s |
    | 2026-11-22T03:05:02Z (T+5 min 2 s) | inert | postgres 127.0.0.1:5432/orders | `fp:4258457b93f4113bee5b7c7082fa6dbd` of orders_a | refused 28P01, refused 28P01 | 0 | successor: accepted, accepted | 1 s |

    - 2026-11-22T03:04:02Z: it failed because fp:4258457b93f4113bee5b7c7082fa6dbd (orders_a) STILL OPENS THE DOOR; 2 live session(s) opened with fp:4258457b93f4113bee5b7c7082fa6dbd (orders_a).
    - The answer changed: not inert at 2026-11-22T03:04:02Z, proven inert at 2026-11-22T03:05:02Z.

    ## Consumers

    | consumer | secret | on the successor? | sign | before |
    | --- | --- | --- | --- | --- |
    | api | `orders-db` | confirmed | generation=42, principal=orders_b | generation 41; principal orders_a |

    ## Clocks

    | clock | due | state | how | rule |
    | --- | --- | --- | --- | --- |
    | first-response | 2026-11-22T03:10:00Z (T+10 min) | met at 2026-11-22T03:03:00Z | 7 min before it was due | SEV-1: first response, counted from discovery |
    | next-update | 2026-11-22T03:15:00Z (T+15 min) | LATE at 2026-11-22T03:15:02Z | 2.7 s after it was due | SEV-1: next update, counted from the declaration |
    | post-mortem | 2026-11-24T03:00:00Z (T+2 d) | running | 1 d 22 h left | post-mortem: 48 h, the earliest of the sources, counted from the declaration |

    ## What is still unknown or open

    - whether it was used: no evidence of use, but the logs are incomplete (the proxy kept 6 hours only)

    ## Hygiene

    Deleting a message or rewriting history is tidy. It does not contain anything: copies, forks and caches survive.

    - history of orders.git rewritten

    ## Action items

    | item | what | owner | due | state | evidence |
    | --- | --- | --- | --- | --- | --- |
    | A1 | gate on push | team-orders | 2026-12-01 | open | — |

    ## For the review

    The ledger cannot answer these; people do, in the room's post-mortem or by `quell incident post-mortem INC-2026-0001`.

    ### Summary

    Not written yet. What happened, in a few sentences, for somebody who was not there?

    ### Impact

    Not written yet. Who and what was affected, for how long, and which data could be reached?

    ### Detection

    Not written yet. How was it found, and how could it have been found earlier?

    ### Root cause

    Not written yet. What made it possible that a value got there? Ask why five times; stop at a system, not at a person.

    ### Contributing causes

    Not written yet. What else had to come together for it to leak, or to stay alive?

    ### What went well

    Not written yet. Which safeguards and habits worked?

    ### What went badly

    Not written yet. Which safeguards failed or were missing, and what made the response slower?

    ### Where we were lucky

    Not written yet. What helped without anybody having planned it, and what if it had not?

    ### Lessons

    Not written yet. What is known now that was not known before, and who else should know it?

    ### Validation

    Not written yet. How and when will it be seen that the action items work?

    ### Notes

    - 2026-11-22T03:15:02Z, ines: found by the nightly scan

    ## Timeline

    | when | who | what | detail | entry |
    | --- | --- | --- | --- | --- |
    | 2026-11-22T03:00:00Z (T+0 s) | ines | incident declared: orders-db was pushed to a public repository | orders-db (it leaked); 1 exposure | 10 |
    | 2026-11-22T03:00:00Z (T+0 s) | ines | severity SEV-1: a production secret is exposed publicly (pushed to a public repository) | also SEV-2: public repository without evidence of use | 11 |
    | 2026-11-22T03:00:00Z (T+0 s) | ines | clock first-response started, due 2026-11-22T03:10:00Z | SEV-1: first response, counted from discovery | 12 |
    | 2026-11-22T03:00:00Z (T+0 s) | ines | clock next-update started, due 2026-11-22T03:15:00Z | SEV-1: next update, counted from the declaration | 13 |
    | 2026-11-22T03:00:00Z (T+0 s) | ines | clock post-mortem started, due 2026-11-24T03:00:00Z | post-mortem: 48 h, the earliest of the sources, counted from the declaration | 14 |
    | 2026-11-22T03:03:00Z (T+3 min) | ines | clock first-response met in time | 7 min before it was due | 15 |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | plan 1 made: make-before-break, 11 steps | ines chose make-before-break: orders must be taken at night; plan a71bef5981fd | 16 |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | orders-db: compromised value sealed | fp:4258457b93f4113bee5b7c7082fa6dbd of orders_a (kv) | 17 |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | orders-db: successor sealed | fp:d97c3db2cc0717860a1f53647afa9c2c of orders_b (chosen) | 18 |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | api looked at before any change of orders-db | generation 41; principal orders_a | 19 |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | orders-db.capture: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:03:31Z | 20 |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | orders-db.capture applied by w-1 after 0.12 s | accepted_before=\["fp:4258457b93f4113bee5b7c7082fa6dbd"\] | 21 |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | orders-db.mint: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:03:31Z | 22 |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | orders-db.mint applied by w-1 after 0.12 s | — | 23 |
    | 2026-11-22T03:03:00Z (T+3 min) | engine w-1 | orders-db.install: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:03:31Z | 24 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.install: outcome unknown (the connection was cut), looking again | — | 25 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.install: attempt 2 begun by w-1, only looking | an answer is owed by 2026-11-22T03:04:01Z | 26 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.install seen to be in force by w-1 after 0.12 s | — | 27 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.probe-new: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:04:01Z | 28 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.probe-new applied by w-1 after 0.12 s | — | 29 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.store-0: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:04:01Z | 30 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.store-0 applied by w-1 after 0.12 s | — | 31 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.reload-api: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:04:01Z | 32 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.reload-api applied by w-1 after 0.12 s | — | 33 |
    | 2026-11-22T03:03:30Z (T+3 min 30 s) | engine w-1 | orders-db.confirm-api: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:04:01Z | 34 |
    | 2026-11-22T03:03:32Z (T+3 min 32 s) | engine w-1 | orders-db.confirm-api applied by w-1 after 1.5 s | generation=42, principal=orders_b | 35 |
    | 2026-11-22T03:03:32Z (T+3 min 32 s) | engine w-1 | orders-db.disable: 1 approval asked for | plan a71bef5981fd | 36 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | tom | orders-db.disable: approved by tom | plan a71bef5981fd, good until 2026-11-22T03:34:02Z | 37 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | tom | orders-db.sever: approved by tom | plan a71bef5981fd, good until 2026-11-22T03:34:02Z | 38 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | tom | orders-db.purge-0: approved by tom | plan a71bef5981fd, good until 2026-11-22T03:34:02Z | 39 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | engine w-1 | orders-db.disable: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:04:33Z | 40 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | engine w-1 | orders-db.disable applied by w-1 after 0.12 s | — | 41 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | engine w-1 | orders-db.sever: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:04:33Z | 42 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | engine w-1 | orders-db.sever applied by w-1 after 0.12 s | — | 43 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | engine w-1 | orders-db.prove: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:04:33Z | 44 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | engine w-1 | orders-db.prove applied by w-1 after 0.12 s | — | 45 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | engine w-1 | orders-db.purge-0: attempt 1 begun by w-1 | an answer is owed by 2026-11-22T03:04:33Z | 46 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | engine w-1 | orders-db.purge-0 applied by w-1 after 0.12 s | — | 47 |
    | 2026-11-22T03:04:02Z (T+4 min 2 s) | engine w-1 | orders-db is NOT proven inert | fp:4258457b93f4113bee5b7c7082fa6dbd (orders_a) STILL OPENS THE DOOR; 2 live session(s) opened with fp:4258457b93f4113bee5b7c7082fa6dbd (orders_a); door: postgres 127.0.0.1:5432/orders | 48 |
    | 2026-11-22T03:05:02Z (T+5 min 2 s) | engine w-1 | orders-db proven inert at postgres 127.0.0.1:5432/orders | 1 old value: refused 28P01; control (successor) accepted; 0 live sessions | 49 |
    | 2026-11-22T03:15:02Z (T+15 min 2 s) | tom | verdict no-evidence-logs-incomplete: no evidence of use, but the logs are incomplete | the proxy kept 6 hours only; evidence proxy.log (120 bytes, SHA-256 abababababab…) | 50 |
    | 2026-11-22T03:15:02Z (T+15 min 2 s) | ines | hygiene: history of orders.git rewritten | removing does not contain | 51 |
    | 2026-11-22T03:15:02Z (T+15 min 2 s) | ines | note: found by the nightly scan | — | 52 |
    | 2026-11-22T03:15:02Z (T+15 min 2 s) | ines | action item A1: gate on push | owner team-orders, due 2026-12-01 | 53 |
    | 2026-11-22T03:15:02Z (T+15 min 2 s) | ines | clock next-update met too late | 2.7 s after it was due | 54 |
    | 2026-11-22T04:15:02Z (T+1 h 15 min) | tom | incident closed | The old password is dead; orders-api runs on a new one. | 55 |

    ## Ledger checkpoint

    ```text
    quell/test/ledger/1
    57
    bWFkZSB1cCBmb3IgYSB0ZXN0IG9mIHRoZSByZXBvcnQgMDE=

    — quell/test/ledger/1 qwERtYmFkZSB1cA==
    ```

    What a signature cannot do: whoever holds the key can rewrite the ledger and sign it again. Keep this checkpoint where
    that person cannot reach it; a ledger that no longer contains it was rewritten.
    "#);
}
