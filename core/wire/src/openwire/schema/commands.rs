//! Commands that are not about a single message: connecting, producing, consuming, transactions, control, responses.

use super::base_command;

structures! {
    response "Response" = 30 since 1, extends base_command {
        CORRELATION_ID = "correlationId": Int, 1..;
    }

    partial_command "PartialCommand" = 60 since 1 {
        COMMAND_ID = "commandId": Int, 1..;
        DATA = "data": Bytes, 1..;
    }

    wire_format_info "WireFormatInfo" = 1 since 1 {
        MAGIC = "magic": Bytes8, 1..;
        VERSION = "version": Int, 1..;
        MARSHALLED_PROPERTIES = "marshalledProperties": Bytes, 1..;
    }

    broker_info "BrokerInfo" = 2 since 1, extends base_command {
        BROKER_ID = "brokerId": Cached(of::BROKER_ID), 1..;
        BROKER_URL = "brokerURL": String, 1..;
        PEER_BROKER_INFOS = "peerBrokerInfos": Array(of::BROKER_INFO), 1..;
        BROKER_NAME = "brokerName": String, 1..;
        SLAVE_BROKER = "slaveBroker": Bool, 1..;
        MASTER_BROKER = "masterBroker": Bool, 1..;
        FAULT_TOLERANT_CONFIGURATION = "faultTolerantConfiguration": Bool, 1..;
        DUPLEX_CONNECTION = "duplexConnection": Bool, 2..;
        NETWORK_CONNECTION = "networkConnection": Bool, 2..;
        CONNECTION_ID = "connectionId": Long, 2..;
        BROKER_UPLOAD_URL = "brokerUploadUrl": String, 3..;
        NETWORK_PROPERTIES = "networkProperties": String, 3..;
    }

    connection_info "ConnectionInfo" = 3 since 1, extends base_command {
        CONNECTION_ID = "connectionId": Cached(of::CONNECTION_ID), 1..;
        CLIENT_ID = "clientId": String, 1..;
        PASSWORD = "password": String, 1..;
        USER_NAME = "userName": String, 1..;
        BROKER_PATH = "brokerPath": Array(of::BROKER_ID), 1..;
        BROKER_MASTER_CONNECTOR = "brokerMasterConnector": Bool, 1..;
        MANAGEABLE = "manageable": Bool, 1..;
        CLIENT_MASTER = "clientMaster": Bool, 2..;
        FAULT_TOLERANT = "faultTolerant": Bool, 6..;
        FAILOVER_RECONNECT = "failoverReconnect": Bool, 6..;
        CLIENT_IP = "clientIp": String, 8..;
    }

    session_info "SessionInfo" = 4 since 1, extends base_command {
        SESSION_ID = "sessionId": Cached(of::SESSION_ID), 1..;
    }

    consumer_info "ConsumerInfo" = 5 since 1, extends base_command {
        CONSUMER_ID = "consumerId": Cached(of::CONSUMER_ID), 1..;
        BROWSER = "browser": Bool, 1..;
        DESTINATION = "destination": Cached(of::ACTIVE_MQ_DESTINATION), 1..;
        PREFETCH_SIZE = "prefetchSize": Int, 1..;
        MAXIMUM_PENDING_MESSAGE_LIMIT = "maximumPendingMessageLimit": Int, 1..;
        DISPATCH_ASYNC = "dispatchAsync": Bool, 1..;
        SELECTOR = "selector": String, 1..;
        CLIENT_ID = "clientId": String, 10..;
        SUBSCRIPTION_NAME = "subscriptionName": String, 1..;
        NO_LOCAL = "noLocal": Bool, 1..;
        EXCLUSIVE = "exclusive": Bool, 1..;
        RETROACTIVE = "retroactive": Bool, 1..;
        PRIORITY = "priority": Byte, 1..;
        BROKER_PATH = "brokerPath": Array(of::BROKER_ID), 1..;
        ADDITIONAL_PREDICATE = "additionalPredicate": Object(of::BOOLEAN_EXPRESSION), 1..;
        NETWORK_SUBSCRIPTION = "networkSubscription": Bool, 1..;
        OPTIMIZED_ACKNOWLEDGE = "optimizedAcknowledge": Bool, 1..;
        NO_RANGE_ACKS = "noRangeAcks": Bool, 1..;
        NETWORK_CONSUMER_PATH = "networkConsumerPath": Array(of::CONSUMER_ID), 4..;
    }

    producer_info "ProducerInfo" = 6 since 1, extends base_command {
        PRODUCER_ID = "producerId": Cached(of::PRODUCER_ID), 1..;
        DESTINATION = "destination": Cached(of::ACTIVE_MQ_DESTINATION), 1..;
        BROKER_PATH = "brokerPath": Array(of::BROKER_ID), 1..;
        DISPATCH_ASYNC = "dispatchAsync": Bool, 2..;
        WINDOW_SIZE = "windowSize": Int, 3..;
    }

    transaction_info "TransactionInfo" = 7 since 1, extends base_command {
        CONNECTION_ID = "connectionId": Cached(of::CONNECTION_ID), 1..;
        TRANSACTION_ID = "transactionId": Cached(of::TRANSACTION_ID), 1..;
        TYPE = "type": Byte, 1..;
    }

    destination_info "DestinationInfo" = 8 since 1, extends base_command {
        CONNECTION_ID = "connectionId": Cached(of::CONNECTION_ID), 1..;
        DESTINATION = "destination": Cached(of::ACTIVE_MQ_DESTINATION), 1..;
        OPERATION_TYPE = "operationType": Byte, 1..;
        TIMEOUT = "timeout": Long, 1..;
        BROKER_PATH = "brokerPath": Array(of::BROKER_ID), 1..;
    }

    remove_subscription_info "RemoveSubscriptionInfo" = 9 since 1, extends base_command {
        CONNECTION_ID = "connectionId": Cached(of::CONNECTION_ID), 1..;
        SUBSCRIPTION_NAME = "subscriptionName": String, 1..;
        CLIENT_ID = "clientId": String, 1..;
    }

    keep_alive_info "KeepAliveInfo" = 10 since 1, extends base_command {}

    shutdown_info "ShutdownInfo" = 11 since 1, extends base_command {}

    remove_info "RemoveInfo" = 12 since 1, extends base_command {
        OBJECT_ID = "objectId": Cached(of::DATA_STRUCTURE), 1..;
        LAST_DELIVERED_SEQUENCE_ID = "lastDeliveredSequenceId": Long, 5..;
    }

    control_command "ControlCommand" = 14 since 1, extends base_command {
        COMMAND = "command": String, 1..;
    }

    flush_command "FlushCommand" = 15 since 1, extends base_command {}

    connection_error "ConnectionError" = 16 since 1, extends base_command {
        EXCEPTION = "exception": Throwable, 1..;
        CONNECTION_ID = "connectionId": Object(of::CONNECTION_ID), 1..;
    }

    consumer_control "ConsumerControl" = 17 since 1, extends base_command {
        DESTINATION = "destination": Object(of::ACTIVE_MQ_DESTINATION), 6..;
        CLOSE = "close": Bool, 1..;
        CONSUMER_ID = "consumerId": Object(of::CONSUMER_ID), 1..;
        PREFETCH = "prefetch": Int, 1..;
        FLUSH = "flush": Bool, 2..;
        START = "start": Bool, 2..;
        STOP = "stop": Bool, 2..;
    }

    connection_control "ConnectionControl" = 18 since 1, extends base_command {
        CLOSE = "close": Bool, 1..;
        EXIT = "exit": Bool, 1..;
        FAULT_TOLERANT = "faultTolerant": Bool, 1..;
        RESUME = "resume": Bool, 1..;
        SUSPEND = "suspend": Bool, 1..;
        CONNECTED_BROKERS = "connectedBrokers": String, 6..;
        RECONNECT_TO = "reconnectTo": String, 6..;
        REBALANCE_CONNECTION = "rebalanceConnection": Bool, 6..;
        TOKEN = "token": Bytes, 8..;
    }

    producer_ack "ProducerAck" = 19 since 3, extends base_command {
        PRODUCER_ID = "producerId": Object(of::PRODUCER_ID), 3..;
        SIZE = "size": Int, 3..;
    }

    exception_response "ExceptionResponse" = 31 since 1, extends response {
        EXCEPTION = "exception": Throwable, 1..;
    }

    data_response "DataResponse" = 32 since 1, extends response {
        DATA = "data": Object(of::DATA_STRUCTURE), 1..;
    }

    data_array_response "DataArrayResponse" = 33 since 1, extends response {
        DATA = "data": Array(of::DATA_STRUCTURE), 1..;
    }

    integer_response "IntegerResponse" = 34 since 1, extends response {
        RESULT = "result": Int, 1..;
    }

    last_partial_command "LastPartialCommand" = 61 since 1, extends partial_command {}

    replay_command "ReplayCommand" = 65 since 1, extends base_command {
        FIRST_NAK_NUMBER = "firstNakNumber": Int, 1..;
        LAST_NAK_NUMBER = "lastNakNumber": Int, 1..;
    }

    broker_subscription_info "BrokerSubscriptionInfo" = 92 since 12, extends base_command {
        BROKER_ID = "brokerId": Object(of::BROKER_ID), 12..;
        BROKER_NAME = "brokerName": String, 12..;
        SUBSCRIPTION_INFOS = "subscriptionInfos": Array(of::CONSUMER_INFO), 12..;
    }
}
