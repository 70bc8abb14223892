#!/bin/sh
# Made by `quell gate install ci --for generic`. Run it in a whole clone; needs quell @VERSION@ and git.
@SCAN@
