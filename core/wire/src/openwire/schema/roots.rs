//! What every command begins with.

parent! {
    base_command "BaseCommand" {
        COMMAND_ID = "commandId": Int, 1..;
        RESPONSE_REQUIRED = "responseRequired": Bool, 1..;
    }
}
