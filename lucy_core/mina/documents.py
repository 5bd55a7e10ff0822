"""The GraphQL operations that Lucy sends, by name. A test validates each against the simulated node's schema.

Names, variables and fields: Mina's `graphql_requests.ml`.
"""

DOCUMENTS = {
    "daemonStatus": """
        query daemonStatus { daemonStatus {
            syncStatus blockchainLength highestBlockLengthReceived uptimeSecs stateHash commitId
            addrsAndPorts { peer { peerId } } peers { peerId host libp2pPort } consensusTimeNow { globalSlot }
        } }""",
    "metrics": """
        query metrics { daemonStatus { metrics {
            blockProductionDelay transactionPoolDiffReceived transactionPoolDiffBroadcasted
            transactionsAddedToPool transactionPoolSize
        } } }""",
    "syncStatus": "query syncStatus { syncStatus }",
    "bestChain": """
        query bestChain($maxLength: Int) { bestChain(maxLength: $maxLength) {
            stateHash commandTransactionCount creatorAccount { publicKey }
            protocolState { previousStateHash consensusState { blockHeight slotSinceGenesis slot } }
        } }""",
    "account": """
        query account($publicKey: PublicKey!, $token: UInt64) { account(publicKey: $publicKey, token: $token) {
            publicKey nonce inferredNonce delegate balance { total liquid locked }
        } }""",
    "unlockAccount": """
        mutation unlockAccount($password: String!, $publicKey: PublicKey!) {
            unlockAccount(input: { password: $password, publicKey: $publicKey }) { account { publicKey } } }""",
    "sendPayment": """
        mutation sendPayment($input: SendPaymentInput!) {
            sendPayment(input: $input) { payment { id nonce hash } } }""",
    "sendDelegation": """
        mutation sendDelegation($input: SendDelegationInput!) {
            sendDelegation(input: $input) { delegation { id nonce hash } } }""",
}
