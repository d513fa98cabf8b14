//! What commands hold: identifiers, destinations, transactions, and the records of old journals.

structures! {
    discovery_event "DiscoveryEvent" = 40 since 1 {
        SERVICE_NAME = "serviceName": String, 1..;
        BROKER_NAME = "brokerName": String, 1..;
    }

    journal_topic_ack "JournalTopicAck" = 50 since 1 {
        DESTINATION = "destination": Object(of::ACTIVE_MQ_DESTINATION), 1..;
        MESSAGE_ID = "messageId": Object(of::MESSAGE_ID), 1..;
        MESSAGE_SEQUENCE_ID = "messageSequenceId": Long, 1..;
        SUBSCRIPTION_NAME = "subscriptionName": String, 1..;
        CLIENT_ID = "clientId": String, 1..;
        TRANSACTION_ID = "transactionId": Object(of::TRANSACTION_ID), 1..;
    }

    journal_queue_ack "JournalQueueAck" = 52 since 1 {
        DESTINATION = "destination": Object(of::ACTIVE_MQ_DESTINATION), 1..;
        MESSAGE_ACK = "messageAck": Object(of::MESSAGE_ACK), 1..;
    }

    journal_trace "JournalTrace" = 53 since 1 {
        MESSAGE = "message": String, 1..;
    }

    journal_transaction "JournalTransaction" = 54 since 1 {
        TRANSACTION_ID = "transactionId": Object(of::TRANSACTION_ID), 1..;
        TYPE = "type": Byte, 1..;
        WAS_PREPARED = "wasPrepared": Bool, 1..;
    }

    subscription_info "SubscriptionInfo" = 55 since 1 {
        CLIENT_ID = "clientId": String, 1..;
        DESTINATION = "destination": Cached(of::ACTIVE_MQ_DESTINATION), 1..;
        SELECTOR = "selector": String, 1..;
        SUBSCRIPTION_NAME = "subscriptionName": String, 1..;
        SUBSCRIBED_DESTINATION = "subscribedDestination": Object(of::ACTIVE_MQ_DESTINATION), 3..;
        NO_LOCAL = "noLocal": Bool, 11..;
    }

    network_bridge_filter "NetworkBridgeFilter" = 91 since 1 {
        NETWORK_TTL = "networkTTL": Int, 1.. until 9;
        NETWORK_BROKER_ID = "networkBrokerId": Cached(of::BROKER_ID), 1..;
        MESSAGE_TTL = "messageTTL": Int, 10..;
        CONSUMER_TTL = "consumerTTL": Int, 10..;
    }

    active_mq_queue "ActiveMQQueue" = 100 since 1 {
        PHYSICAL_NAME = "physicalName": String, 1..;
    }

    active_mq_topic "ActiveMQTopic" = 101 since 1 {
        PHYSICAL_NAME = "physicalName": String, 1..;
    }

    active_mq_temp_queue "ActiveMQTempQueue" = 102 since 1 {
        PHYSICAL_NAME = "physicalName": String, 1..;
    }

    active_mq_temp_topic "ActiveMQTempTopic" = 103 since 1 {
        PHYSICAL_NAME = "physicalName": String, 1..;
    }

    message_id "MessageId" = 110 since 1 {
        TEXT_VIEW = "textView": String, 10..;
        PRODUCER_ID = "producerId": Cached(of::PRODUCER_ID), 1..;
        PRODUCER_SEQUENCE_ID = "producerSequenceId": Long, 1..;
        BROKER_SEQUENCE_ID = "brokerSequenceId": Long, 1..;
    }

    local_transaction_id "LocalTransactionId" = 111 since 1 {
        VALUE = "value": Long, 1..;
        CONNECTION_ID = "connectionId": Cached(of::CONNECTION_ID), 1..;
    }

    xa_transaction_id "XATransactionId" = 112 since 1 {
        FORMAT_ID = "formatId": Int, 1..;
        GLOBAL_TRANSACTION_ID = "globalTransactionId": Bytes, 1..;
        BRANCH_QUALIFIER = "branchQualifier": Bytes, 1..;
    }

    connection_id "ConnectionId" = 120 since 1 {
        VALUE = "value": String, 1..;
    }

    session_id "SessionId" = 121 since 1 {
        CONNECTION_ID = "connectionId": String, 1..;
        VALUE = "value": Long, 1..;
    }

    consumer_id "ConsumerId" = 122 since 1 {
        CONNECTION_ID = "connectionId": String, 1..;
        SESSION_ID = "sessionId": Long, 1..;
        VALUE = "value": Long, 1..;
    }

    producer_id "ProducerId" = 123 since 1 {
        CONNECTION_ID = "connectionId": String, 1..;
        VALUE = "value": Long, 1..;
        SESSION_ID = "sessionId": Long, 1..;
    }

    broker_id "BrokerId" = 124 since 1 {
        VALUE = "value": String, 1..;
    }
}
