"""The GraphQL schema that the simulated node serves: Mina's names, arguments and scalars, for the operations in it.

zkApp operations are left out: without cryptography there are no proofs to send.
"""

SDL = """
scalar PublicKey
scalar PrivateKey
scalar UInt32
scalar UInt64
scalar TransactionId
scalar TransactionHash
scalar SendTestPaymentsResult

enum SyncStatus { CONNECTING LISTENING OFFLINE BOOTSTRAP SYNCED CATCHUP }

type Query {
  syncStatus: SyncStatus!
  networkID: String!
  version: String
  daemonStatus: DaemonStatus!
  bestChain(maxLength: Int): [Block!]
  account(publicKey: PublicKey!, token: UInt64): Account
  pooledUserCommands(publicKey: PublicKey): [UserCommand!]!
  getFilteredLogEntries(offset: Int!): GetFilteredLogEntriesPayload!
}

type Mutation {
  unlockAccount(input: UnlockInput!): UnlockPayload!
  sendPayment(input: SendPaymentInput!, signature: SignatureInput): SendPaymentPayload!
  sendDelegation(input: SendDelegationInput!, signature: SignatureInput): SendDelegationPayload!
  sendTestPayments(
    senders: [PrivateKey!]!, receiver: PublicKey!, amount: UInt64!, fee: UInt64!
    repeat_count: UInt32!, repeat_delay_ms: UInt32!
  ): Int!
  setSnarkWorker(input: SetSnarkWorkerInput!): SetSnarkWorkerPayload!
  setSnarkWorkFee(input: SetSnarkWorkFee!): SetSnarkWorkFeePayload!
  startFilteredLog(filter: [String!]!): Boolean!
}

type DaemonStatus {
  syncStatus: SyncStatus!
  blockchainLength: Int
  highestBlockLengthReceived: Int!
  uptimeSecs: Int!
  stateHash: String
  commitId: String!
  chainId: String!
  confDir: String!
  peers: [Peer!]!
  addrsAndPorts: AddrsAndPorts!
  consensusTimeNow: ConsensusTime!
  metrics: Metrics!
}

type Peer { peerId: String! host: String! libp2pPort: Int! }
type AddrsAndPorts { externalIp: String! bindIp: String! clientPort: Int! libp2pPort: Int! peer: Peer }
type ConsensusTime { epoch: UInt32! slot: UInt32! globalSlot: UInt32! }
type Metrics {
  blockProductionDelay: [Int!]!
  transactionPoolDiffReceived: Int!
  transactionPoolDiffBroadcasted: Int!
  transactionsAddedToPool: Int!
  transactionPoolSize: Int!
}

type Block {
  stateHash: String!
  commandTransactionCount: Int!
  creator: PublicKey!
  creatorAccount: Account!
  protocolState: ProtocolState!
  transactions: Transactions!
  snarkJobs: [SnarkJob!]!
}
type SnarkJob { workIds: [Int!]! }
type ProtocolState { previousStateHash: String! consensusState: ConsensusState! }
type ConsensusState { blockHeight: UInt32! slotSinceGenesis: UInt32! slot: UInt32! epoch: UInt32! }
type Transactions { coinbase: UInt64! userCommands: [UserCommand!]! }

type UserCommand {
  id: TransactionId!
  hash: TransactionHash!
  kind: String!
  nonce: Int!
  amount: UInt64!
  fee: UInt64!
  memo: String!
  from: PublicKey!
  to: PublicKey!
  failureReason: String
}

type Account {
  publicKey: PublicKey!
  token: UInt64!
  nonce: String
  inferredNonce: String
  balance: Balance!
  delegate: PublicKey
  timing: Timing!
}
type Balance { total: UInt64! liquid: UInt64 locked: UInt64 }
type Timing {
  initialMinimumBalance: UInt64
  cliffTime: UInt32
  cliffAmount: UInt64
  vestingPeriod: UInt32
  vestingIncrement: UInt64
}

input UnlockInput { password: String! publicKey: PublicKey! }
type UnlockPayload { account: Account! }
input SignatureInput { field: String scalar: String rawSignature: String }
input SendPaymentInput {
  from: PublicKey! to: PublicKey! amount: UInt64! fee: UInt64! memo: String nonce: UInt32 validUntil: UInt32
}
type SendPaymentPayload { payment: UserCommand! }
input SendDelegationInput {
  from: PublicKey! to: PublicKey! fee: UInt64! memo: String nonce: UInt32 validUntil: UInt32
}
type SendDelegationPayload { delegation: UserCommand! }
input SetSnarkWorkerInput { publicKey: PublicKey }
type SetSnarkWorkerPayload { lastSnarkWorker: PublicKey }
input SetSnarkWorkFee { fee: UInt64! }
type SetSnarkWorkFeePayload { lastFee: UInt64! }
type GetFilteredLogEntriesPayload { logMessages: [String!]! isCapturing: Boolean! }
"""
