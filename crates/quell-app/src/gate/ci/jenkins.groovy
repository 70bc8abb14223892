// Made by `quell gate install ci --for jenkins`.
// `catchError`, `returnStatus: true` or `unstable` around the step would make the gate fail open.
pipeline {
    // An agent of yours with quell @VERSION@ and git. Switch off shallow clones in the job's git settings.
    agent any
    stages {
        stage('quell') {
            steps {
                sh '''#!/bin/sh
                    @SCAN@
                '''
            }
        }
    }
    post {
        always {
            archiveArtifacts artifacts: 'quell.sarif', allowEmptyArchive: true
        }
    }
}
